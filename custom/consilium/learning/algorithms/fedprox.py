"""FedProx at a site: local training with a proximal term; Li et al. 2020, arXiv:1812.06127, algorithm 2.

Minimizes `F_k(w) + mu/2 ||w - w_t||^2`, with the received model `w_t`, so that a site with unusual patients
or many steps moves less far from it. The server's half is that of federated averaging.

The term's gradient `mu (w - w_t)` is added to that of the loss before clipping. The paper's analysis is for
plain gradient steps. AdamW divides the sum of both by its moments, so `mu` weighs the term against the loss,
and is not a rate. A weight that no step of the round has given a gradient has no term: it belongs to
a target that the site's labels lack or an image that its cases lack, moves by weight decay alone, and AdamW
would make full steps around the received model of even so small a term.

Costs a copy of the shared parameters, and a byte for each, in the memory of each training process, and a pass
over them in each step; no bytes, no state. Excludes nothing: the update is a difference like FedAvg's, so it
can be masked. An algorithm that clips patients one by one has gradients of its own, and would have to add the
term to them.
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
        self._learned: dict[str, Tensor] = {}

    def begin(self, local: LocalRound) -> None:
        """Remember the received model."""
        import torch

        self._anchor = {
            name: parameter.detach().clone()
            for name, parameter in local.network.named_parameters()
            if self.settings.mu and not self.settings.stays(name)
        }
        self._learned = {name: torch.zeros_like(one, dtype=torch.bool) for name, one in self._anchor.items()}

    def after_backward(self, local: LocalRound) -> None:
        """Add the term's gradient."""
        for name, parameter in local.network.named_parameters():
            if name in self._anchor and parameter.grad is not None:
                # A step whose scaled loss overflowed is not taken, and teaches nothing.
                learned = self._learned[name].logical_or_((parameter.grad != 0) & parameter.grad.isfinite())
                moved = (parameter.detach() - self._anchor[name]).mul_(learned)
                parameter.grad.add_(moved, alpha=self.settings.mu)
