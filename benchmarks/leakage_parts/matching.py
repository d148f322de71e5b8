"""Gradient matching: how like an update the gradients of given or invented patients are.

Geiping et al. 2020, arXiv:2003.14053, compare by cosine. Here it is taken layer by layer, since the last
layer's gradient is ten times as long as all others together, and of gradients as AdamW passes them on: its
first step is hardly more than the signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from consilium.learning.weights import Weights

_TINY: Final = 1e-20


def layers(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of layers without biases: behind a normalization, these have no gradient."""
    return {name: one for name, one in network.named_parameters() if one.ndim > 1}


def seen(network: nn.Module, update: Weights) -> list[Tensor]:
    """Return the direction of the gradient in an update, layer by layer."""
    return [-torch.from_numpy(update[name]) for name in layers(network)]


def as_stepped(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Approximate what AdamW makes of gradients: nearly signs, but smooth, so that they can be followed."""
    return [one / (one.abs() + one.detach().abs().mean() + _TINY) for one in gradients]


def likeness(gradients: Sequence[Tensor], update: Sequence[Tensor]) -> Tensor:
    """Return the mean cosine over layers."""
    cosines = [
        (one * other).sum() / (one.norm() * other.norm() + _TINY)
        for one, other in zip(gradients, update, strict=True)
    ]
    return torch.stack(cosines).mean()


def gradients_of(
    network: nn.Module, loss: nn.Module, images: Tensor, regions: Tensor, *, differentiable: bool = False
) -> list[Tensor]:
    """Compute the gradients of a batch's mean loss, layer by layer, as AdamW passes them on."""
    found = torch.autograd.grad(
        loss(network(images), regions), list(layers(network).values()), create_graph=differentiable
    )
    return as_stepped(found)


def rank(score: float, others: Sequence[float] | NDArray[Any]) -> int:
    """Return the place of a score among others: 1 if none of them is as high.

    Example:
        >>> rank(0.5, [0.1, 0.7])
        2
    """
    return 1 + sum(other >= score for other in others)
