"""Local normalization: affine parameters that never leave their site."""

import json

import numpy as np
import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.job_def import new_job_id
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from consilium.errors import ConfigurationError
from consilium.federation.message_names import REPORT_META, RUN_META, TEST, TRAIN, VERSIONS_META
from consilium.federation.site.executor import SiteExecutor
from consilium.federation.site.personal_model import PERSONAL_FOLDER
from consilium.federation.versions import component_versions
from consilium.learning.algorithms.fedbn import FedBNAlgorithmSettings
from consilium.learning.network_state import initial_weights
from consilium.learning.weights import MODEL
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks import TASKS, get_task, parse_learning
from federation.flare import Engine
from federation.site.answers import at_site

from .small_federation import server_half, train_rounds

FEDBN = {"name": "fedbn"}
LOCAL = {"norm.weight", "norm.bias"}


def affine(network):
    """Names of the affine parameters of normalization layers, by the layers' types."""
    kinds = (_NormBase, nn.GroupNorm, nn.LayerNorm)
    return {
        f"{place}.{name}"
        for place, layer in network.named_modules()
        if isinstance(layer, kinds)
        for name, _ in layer.named_parameters(recurse=False)
    }


@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task in TASKS for name in TASKS[task].settings_type.networks()]
)
def test_exactly_the_affine_parameters_of_every_network_stay(task, name):
    learning = parse_learning({"task": task, "network": name}, source="test")
    network = get_task(task).method.build_network(learning)
    stays = FedBNAlgorithmSettings().stays
    assert {one for one in network.state_dict() if stays(one)} == affine(network)
    assert learning.has_affine_normalization == bool(affine(network))


def test_they_are_in_nothing_that_is_sent_and_differ_between_sites(sites, tmp_path):
    done = train_rounds(sites, tmp_path, FEDBN)
    for sent in done.sent.values():
        for one in sent:
            assert one.keys() == {MODEL}
            assert one[MODEL].keys() == {"conv.weight", "conv.bias"}
    north, south = (results[-1].personal for results in done.results.values())
    assert north.keys() == south.keys() == LOCAL
    assert any(not np.array_equal(north[name], south[name]) for name in LOCAL)


def test_the_job_s_model_keeps_those_of_the_start(sites, tmp_path):
    """That is what a hospital uses that has none of its own."""
    done = train_rounds(sites, tmp_path, FEDBN)
    first, last = done.models[0], done.models[-1]
    for name in first:
        assert np.array_equal(first[name], last[name]) == (name in LOCAL)


def test_a_network_without_any_is_rejected_before_anything_is_trained():
    server = server_half(FEDBN)
    with pytest.raises(ConfigurationError, match="'unet_small' has no affine parameters"):
        server.begin({"conv.weight": np.zeros(1)})


LEARNING_BN = LEARNING.model_copy(update={"network": "segresnet"})
WEIGHTS = initial_weights(get_task("brain_tumor"), LEARNING_BN, 0)
STAYS = [name for name in WEIGHTS if FedBNAlgorithmSettings().stays(name)]


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path / "workspace")
    at_site(engine, site(tmp_path, [f"P{number}" for number in range(1, 9)], test_fraction=0.3))
    return engine


@pytest.fixture
def run():
    return new_job_id()


@pytest.fixture
def executor(tmp_path, engine, run):
    running = SiteExecutor(LEARNING_BN.model_dump(mode="json"), FEDBN)

    def ask(task, index, weights=WEIGHTS):
        meta = {VERSIONS_META: component_versions(), RUN_META: run}
        model = FLModel(
            params_type=ParamsType.FULL, params=dict(weights), current_round=index, total_rounds=3, meta=meta
        )
        reply = running.execute(task, FLModelUtils.to_shareable(model), engine.context, Signal())
        return FLModelUtils.from_shareable(reply)

    yield ask, tmp_path / "cache" / "runs" / run
    running._handlers.close()


def test_a_site_uses_its_own_of_the_tested_round_and_keeps_that_model_for_its_hospital(executor):
    ask, memory = executor
    answers = [ask(TRAIN, index) for index in range(3)]
    for answer in answers:
        assert answer.params.keys() == {*WEIGHTS} - {*STAYS}
        assert not any(name in json.dumps(answer.meta[REPORT_META]) for name in STAYS)
    assert not any(ask(TEST, index).params for index in (3, 1))
    last, first = (TrainedModel.load(memory / PERSONAL_FOLDER, which) for which in ("final", "best"))
    assert (last.round, first.round) == (3, 1)
    for name in WEIGHTS:
        assert np.array_equal(last.weights[name], WEIGHTS[name]) == (name not in STAYS)
    assert any(not np.array_equal(last.weights[name], first.weights[name]) for name in STAYS)


@pytest.mark.long
@pytest.mark.parametrize("run", ["simulate_job"])
def test_a_simulated_site_keeps_its_model_in_the_job_s_folder(executor, engine):
    ask, memory = executor
    ask(TRAIN, 0)
    ask(TEST, 1)
    assert TrainedModel.load(engine.run_folder / PERSONAL_FOLDER, "best").round == 1
    assert not memory.exists()
