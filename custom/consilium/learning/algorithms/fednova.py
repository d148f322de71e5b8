"""Settings of FedNova, Wang et al. 2020, arXiv:2007.07481; the server's half has the mathematics.

A site trains as with federated averaging.
"""

from __future__ import annotations

from typing import Literal

from consilium.learning.algorithms.base import AlgorithmSettings


class FedNovaAlgorithmSettings(AlgorithmSettings):
    """Normalized averaging: it has no settings of its own."""

    name: Literal["fednova"] = "fednova"
