"""Ditto at a site: a personal model beside the global one; Li et al. 2021, arXiv:2012.04221, algorithm 1.

Each step of a round is two. The network takes the step of federated averaging, so what is sent is its update.
Then the site's personal model v takes one on the same batch, on the gradient of
`F_k(v) + lambda/2 ||v - w_t||^2`, with the received model w_t. With lambda 0 it is a local-only model; the
larger lambda, the nearer it stays to the global one. v starts from the first model that the site receives,
and has an optimizer of its own, AdamW as for the network, with the same rates.

In the rounds sites evaluate the global model, which selection and rollback are about. Before a model of the
job is tested, each site compares it with v on its validation patients, and tests the better one: that is what
this hospital would use.

Costs twice the seconds of a round's training, and at the site state and memory of a model and its two
moments; no bytes. v never leaves the site. Excludes nothing from the update, so it can be masked.
Differential privacy of the update says nothing about v, which stays where its patients are; its test scores
leave, as any do.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from consilium.learning.algorithms.base import (
    AlgorithmSettings,
    LocalAlgorithm,
    LocalRound,
    LocalState,
    LocalStep,
    Outgoing,
)

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from consilium.learning.weights import WeightSets
    from consilium.tasks.learning_settings import LearningSettings

_MODEL, _MOMENTS = "personal", "personal_moments"


class DittoAlgorithmSettings(AlgorithmSettings):
    """Strength of the term that keeps a personal model near the global one."""

    caution: ClassVar[str] = (
        "Each site that trained also has a model of its own, and its test scores are of the one that was "
        "better on its validation patients. The model files hold the global one: at any other hospital "
        "expect what the sites that only evaluate report."
    )
    personal_is_choice: ClassVar[bool] = True

    name: Literal["ditto"] = "ditto"
    strength: float = Field(
        default=0.1,
        ge=0,
        le=10,
        description="The paper's lambda: how strongly a personal model is kept near the global one; 0: not.",
    )


class LocalDitto(LocalAlgorithm):
    """Trains the network as federated averaging does, and a personal model on the same batches."""

    settings: DittoAlgorithmSettings

    def __init__(self, settings: AlgorithmSettings, learning: LearningSettings) -> None:
        super().__init__(settings, learning)
        self._kept: WeightSets = {}
        self._own: dict[str, Tensor] = {}
        self._anchor: dict[str, Tensor] = {}
        self._optimizer: torch.optim.Optimizer | None = None

    def begin(self, local: LocalRound) -> None:
        """Take up the personal model where the round before left it; at first, the received one."""
        import torch

        from consilium.learning.network_state import set_moments

        kept, parameters = self._kept.get(_MODEL, {}), dict(local.network.named_parameters())
        self._anchor = {name: one.detach().clone() for name, one in parameters.items()}
        self._own = {name: _like(one, kept.get(name)) for name, one in _tensors(local.network)}
        group = local.optimizer.param_groups[0]
        self._optimizer = torch.optim.AdamW(
            [self._own[name].requires_grad_() for name in parameters],
            lr=group["lr"],
            weight_decay=self.learning.weight_decay,
        )
        set_moments(self._optimizer, self._kept.get(_MOMENTS, {}))

    def compute_gradients(self, local: LocalRound, step: LocalStep) -> Tensor:
        """Compute the gradients of the network's step, after the personal model's step."""
        if not self._step(local, step):
            return step.images.new_tensor(math.nan)
        return super().compute_gradients(local, step)

    def _step(self, local: LocalRound, step: LocalStep) -> bool:
        """Take the personal model's step; returns False if its gradients are not finite."""
        import torch
        from torch.nn.utils import clip_grad_norm_

        assert self._optimizer is not None
        self._swap(local.network)
        step.backward(step.loss(step.images, step.target))
        for name, parameter in local.network.named_parameters():
            self._own[name].grad, parameter.grad = parameter.grad, None
        self._swap(local.network)
        step.scaler.unscale_(self._optimizer)
        own = [self._own[name] for name in self._anchor]
        for name, anchor in self._anchor.items():
            if (gradient := self._own[name].grad) is not None:
                gradient.add_(self._own[name].detach() - anchor, alpha=self.settings.strength)
        limit = self.max_gradient_norm
        norm = clip_grad_norm_(own, math.inf if limit is None else limit)
        if not step.scaler.is_enabled() and not torch.isfinite(norm):
            return False
        for group in self._optimizer.param_groups:
            group["lr"] = local.optimizer.param_groups[0]["lr"]
        step.scaler.step(self._optimizer)
        return True

    def _swap(self, network: nn.Module) -> None:
        """Exchange the values of the network and the personal model, buffers included."""
        for name, one in _tensors(network):
            own = self._own[name]
            one.data, own.data = own.data, one.data

    def end(self, local: LocalRound) -> Outgoing:
        """Return the personal model as this site's own; nothing more is sent."""
        from consilium.learning.network_state import get_moments

        assert self._optimizer is not None
        model = {name: self._own[name].detach().cpu().numpy().copy() for name in local.start}
        self._kept = {_MODEL: model, _MOMENTS: get_moments(self._optimizer)}
        return Outgoing(personal=model)

    def state(self) -> LocalState:
        """Return the personal model and its moments."""
        return LocalState(self._kept)

    def restore(self, state: LocalState | None) -> None:
        """Continue with a personal model and its moments; None: from the next model that is received."""
        self._kept = state.arrays if state else {}


def _tensors(network: nn.Module) -> chain[tuple[str, Tensor]]:
    return chain(network.named_parameters(), network.named_buffers())


def _like(one: Tensor, value: NDArray[Any] | None) -> Tensor:
    """A copy of a tensor, with another value where there is one."""
    import torch

    own = one.detach().clone()
    return own if value is None else own.copy_(torch.from_numpy(value))
