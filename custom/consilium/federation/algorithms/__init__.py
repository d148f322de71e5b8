"""Federated algorithms, server side: questions, combination of answers, step, durable state.

The site's half of each algorithm is in `consilium.learning.algorithms`.
"""

from __future__ import annotations

from consilium.federation.algorithms.base import AlgorithmJob, ServerAlgorithm
from consilium.federation.algorithms.cyclic import ServerCyclic
from consilium.federation.algorithms.dp_sgd import ServerDpSgd
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.algorithms.fedbn import ServerFedBN
from consilium.federation.algorithms.fednova import ServerFedNova
from consilium.federation.algorithms.fedpid import ServerFedPID
from consilium.federation.algorithms.scaffold import ServerScaffold
from consilium.federation.algorithms.secagg_fedavg import ServerSecAggFedAvg
from consilium.federation.algorithms.server_optimizers import ServerFedAdam, ServerFedAvgM, ServerFedYogi
from consilium.federation.algorithms.swarm import ServerSwarm
from consilium.learning.algorithms.base import AlgorithmSettings

ALGORITHMS: dict[str, type[ServerAlgorithm]] = {
    "fedavg": ServerFedAvg,
    "fedprox": ServerFedAvg,
    "fedavgm": ServerFedAvgM,
    "fedadam": ServerFedAdam,
    "fedyogi": ServerFedYogi,
    "fednova": ServerFedNova,
    "fedpid": ServerFedPID,
    "scaffold": ServerScaffold,
    "ditto": ServerFedAvg,
    "fedbn": ServerFedBN,
    "cyclic": ServerCyclic,
    "dp_sgd": ServerDpSgd,
    "secagg_fedavg": ServerSecAggFedAvg,
    "swarm": ServerSwarm,
}
"""The server's half of each algorithm, by the name that a job gives."""


def server_algorithm(settings: AlgorithmSettings, job: AlgorithmJob) -> ServerAlgorithm:
    """Build the server's half of an algorithm.

    Raises:
        ConfigurationError: If the job asks for something that the algorithm excludes.
    """
    return ALGORITHMS[settings.name](settings, job)
