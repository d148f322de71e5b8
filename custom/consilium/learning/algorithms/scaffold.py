"""SCAFFOLD at a site, with control variates that are right under AdamW, too.

Karimireddy et al. 2020, arXiv:1910.06378.

A site's control variate c_k is the mean gradient of its last round, the server's c the mean of all c_k by the
sites' shares. Each step adds `c - c_k` to its gradient, which turns a site's direction into that of all; over
the sites, these additions sum to zero. The paper's option II derives c_k from how far a round moved,
`c_k - c + (w_t - w_k) / (steps rate)`, which is the mean gradient for plain steps of one rate, and something
else under AdamW or a schedule. So here it is measured: the mean of the steps' gradients before the addition.
Under plain gradient steps both are the same.

The paper's proof is for plain steps. Under AdamW, what holds is that what is corrected is a gradient, before
it enters the moments; each site's moments still scale it in their own way, and these stay local.

Costs twice the bytes in both directions, a pass over the gradients in each step, and state: one model at each
site and one at the server. Excludes differential privacy by a limited update, as c_k would have to be limited
and noised, too. Under secure aggregation c_k has to be masked with the update; only sums of it are needed.

A weight whose gradient was exactly 0 in all of a site's last round is not corrected there: it belongs to a
target that the site's labels lack or an image that its cases lack. c would be its only gradient, and AdamW
would make full steps of that. The other sites' corrections of such a weight don't sum to zero: this site's
zeros are in c, so with a share f of sites that have the data, they follow f times their mean gradient.

The first round is that of federated averaging. A site sends c_k itself, not its change, so that c is right
again after a lost answer or a dropped round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

from consilium.learning.algorithms.base import (
    MAX_GRADIENT_NORM,
    AlgorithmSettings,
    Declaration,
    LocalAlgorithm,
    LocalRound,
    LocalState,
    Outgoing,
)

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.learning.weights import Weights
    from consilium.tasks.learning_settings import LearningSettings

CONTROL: Final = "control"
"""The server's control variate, which sites receive."""

OWN_CONTROL: Final = "own_control"
"""A site's, which it sends: of norm `MAX_GRADIENT_NORM` at most."""


class ScaffoldAlgorithmSettings(AlgorithmSettings):
    """SCAFFOLD: it has no settings of its own."""

    declaration: ClassVar[Declaration] = Declaration(received=(CONTROL,), sent=(OWN_CONTROL,))

    name: Literal["scaffold"] = "scaffold"


class LocalScaffold(LocalAlgorithm):
    """Corrects each gradient by the difference of the server's control variate and this site's."""

    def __init__(self, settings: AlgorithmSettings, learning: LearningSettings) -> None:
        super().__init__(settings, learning)
        self._own: Weights = {}
        self._correction: dict[str, Tensor] = {}
        self._total: dict[str, Tensor] = {}
        self._count = 0

    def begin(self, local: LocalRound) -> None:
        """Form this round's correction."""
        import torch

        self._total, self._count, self._correction = {}, 0, {}
        received = local.sets[CONTROL]
        for name, parameter in local.network.named_parameters():
            self._total[name] = torch.zeros_like(parameter)
            if self._own:
                own = torch.as_tensor(self._own[name])
                # What had no gradient in the whole round belongs to a target or an image that the site lacks.
                difference = (torch.as_tensor(received[name]) - own).masked_fill(own == 0, 0.0)
                self._correction[name] = difference.to(parameter)

    def after_backward(self, local: LocalRound) -> None:
        """Measure the step's gradient, and correct it."""
        import torch

        parameters = list(local.network.named_parameters())
        gradients = [one.grad for _, one in parameters if one.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in gradients]))
        if torch.isfinite(norm):  # a step whose scaled loss overflowed is not taken
            factor = float(torch.clamp(MAX_GRADIENT_NORM / (norm + 1e-6), max=1.0))
            self._count += 1
            for name, parameter in parameters:
                if parameter.grad is not None:
                    self._total[name].add_(parameter.grad, alpha=factor)
        for name, parameter in parameters:
            if parameter.grad is not None and name in self._correction:
                parameter.grad.add_(self._correction[name])

    def end(self, local: LocalRound) -> Outgoing:
        """Return this site's control variate: the round's mean gradient."""
        import numpy as np

        means = {
            name: np.asarray((one / max(1, self._count)).cpu().numpy(), order="C")
            for name, one in self._total.items()
        }
        # What is no parameter, such as a running statistic, has no gradient.
        self._own = {
            name: means[name] if name in means else np.zeros_like(value)
            for name, value in self.settings.shared(local.start).items()
        }
        return Outgoing(sets={OWN_CONTROL: self._own})

    def state(self) -> LocalState:
        """Return this site's control variate."""
        return LocalState({OWN_CONTROL: self._own})

    def restore(self, state: LocalState | None) -> None:
        """Continue with a control variate; None: without one, as in the first round."""
        self._own = state.arrays.get(OWN_CONTROL, {}) if state else {}
