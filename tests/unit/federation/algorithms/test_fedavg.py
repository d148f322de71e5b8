import numpy as np

from consilium.federation.algorithms import server_algorithm
from consilium.federation.algorithms.base import AlgorithmJob
from consilium.federation.transport.array_table import ArrayTable
from consilium.federation.updates.intake import Aggregate
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.learning.algorithms import parse_algorithm
from consilium.learning.weights import MODEL
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings


def test_a_step_never_changes_the_type_of_the_model_s_numbers():
    weights = {"w": np.zeros(2, np.float32), "count": np.zeros((), np.int64)}
    change = {"w": np.ones(2, np.float64), "count": np.ones((), np.float64)}
    learning = BrainTumorSettings()
    job = AlgorithmJob(learning, 1, {}, Screening(ScreeningSettings(), learning, 1))
    algorithm = server_algorithm(parse_algorithm({"name": "fedavg"}), job)
    stepped = algorithm.step(weights, Aggregate({MODEL: change}, {}))
    assert {name: (one.dtype, one.shape) for name, one in stepped.items()} == {
        "w": (np.float32, (2,)),
        "count": (np.int64, ()),
    }


def test_the_update_of_a_network_of_few_numbers_is_not_too_large():
    """As they travel, many small arrays take several times the bytes of their numbers."""
    weights = {f"w{place}": np.zeros(1, np.float32) for place in range(8)}
    learning = BrainTumorSettings()
    job = AlgorithmJob(learning, 1, {}, Screening(ScreeningSettings(), learning, 1))
    algorithm = server_algorithm(parse_algorithm({"name": "fedavg"}), job)
    assert ArrayTable.of(weights).bytes <= algorithm.largest_answer(weights)
