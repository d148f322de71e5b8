"""Federated algorithms, server side: questions, combination of answers, step, durable state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from consilium.federation.algorithms.base import AlgorithmJob, ServerAlgorithm
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.learning.algorithms.base import AlgorithmSettings

_ALGORITHMS: dict[str, type[ServerAlgorithm]] = {"fedavg": ServerFedAvg}


def server_algorithm(settings: AlgorithmSettings, job: AlgorithmJob) -> ServerAlgorithm:
    """Build the server's half of an algorithm.

    Raises:
        ConfigurationError: If the job asks for something that the algorithm excludes.
    """
    return _ALGORITHMS[settings.name](settings, job)


@contextmanager
def registered(name: str, algorithm: type[ServerAlgorithm]) -> Iterator[None]:
    """Know one algorithm more for a while, as tests need."""
    _ALGORITHMS[name] = algorithm
    try:
        yield
    finally:
        del _ALGORITHMS[name]
