"""Federated averaging at a site: plain local training; McMahan et al. 2017, arXiv:1602.05629, algorithm 1.

Costs nothing beside the difference, remembers nothing but the optimizer's moments, excludes nothing.
"""

from __future__ import annotations

from typing import Literal

from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm


class FedAvgAlgorithmSettings(AlgorithmSettings):
    """Federated averaging: it has no settings of its own."""

    name: Literal["fedavg"] = "fedavg"


class LocalFedAvg(LocalAlgorithm):
    """Minimizes the local loss from the received weights; the server averages what that changes."""
