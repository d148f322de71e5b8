"""FedProx at a site: local training with a proximal term; Li et al. 2020, arXiv:1812.06127, algorithm 2.

Minimizes `F_k(w) + mu/2 ||w - w_t||^2`, with the received model `w_t`, so that a site with unusual patients
or many steps moves less far from it. The server's half is that of federated averaging.

The term's gradient `mu (w - w_t)` is added to that of the loss before clipping. The paper's analysis is for
plain gradient steps. AdamW divides the sum of both by its moments, so `mu` weighs the term against the loss,
and is not a rate.

Costs a copy of the shared parameters in the memory of each training process, and a pass over them in each
step; no bytes, no state. Excludes nothing: the update is a difference like FedAvg's, so it can be masked. An
algorithm that clips patients one by one has gradients of its own, and would have to add the term to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm, LocalRound

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.tasks.learning_settings import LearningSettings


class FedProxAlgorithmSettings(AlgorithmSettings):
    """Strength of the proximal term; with 0, FedProx is federated averaging, bit for bit."""

    name: Literal["fedprox"] = "fedprox"
    mu: float = Field(
        default=0.01, ge=0, le=10, description="Strength of the proximal term; 0: federated averaging."
    )


class LocalFedProx(LocalAlgorithm):
    """Pulls every step toward the received model.

    The loss that is reported is that of the patients, without the term.
    """

    settings: FedProxAlgorithmSettings

    def __init__(self, settings: AlgorithmSettings, learning: LearningSettings) -> None:
        super().__init__(settings, learning)
        self._anchor: dict[str, Tensor] = {}

    def begin(self, local: LocalRound) -> None:
        """Remember the received model."""
        self._anchor = {
            name: parameter.detach().clone()
            for name, parameter in local.network.named_parameters()
            if self.settings.mu and not self.settings.stays(name)
        }

    def after_backward(self, local: LocalRound) -> None:
        """Add the term's gradient."""
        for name, parameter in local.network.named_parameters():
            if name in self._anchor and parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - self._anchor[name], alpha=self.settings.mu)
