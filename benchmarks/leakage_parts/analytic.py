"""Analytic attacks: inputs that can be computed from a layer's gradient."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

_ROUNDING: Final = 1e-5
"""Gradients of a bias this much smaller than those of its weights are rounding errors."""


def linear_input(weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """Return the input of a layer from the gradients of its weights and bias, for one patient.

    For `y = W x + b`, the gradient of row i of W is that of b_i times x (Phong et al. 2018, doi
    10.1109/TIFS.2017.2787987). A convolution has it at every position at once: what comes out is a mean of
    its windows, not an image.

    Args:
        weight: Gradient `(outputs, ...)`.
        bias: Gradient `(outputs,)`; None for a layer without.

    Returns:
        What a row sees; None if the bias has no gradient, as before a normalization.
    """
    if bias is None or float(bias.abs().max()) < _ROUNDING * float(weight.abs().max()):
        return None
    row = int(bias.abs().argmax())
    return weight[row] / bias[row]


def first_layer(network: nn.Module, loss: nn.Module, images: Tensor, target: Tensor) -> Tensor | None:
    """Run the attack on the first layer that has weights."""
    first = next(one for one in network.modules() if isinstance(getattr(one, "weight", None), nn.Parameter))
    loss(network(images), target).backward()
    bias = getattr(first, "bias", None)
    found = linear_input(first.weight.grad, None if bias is None else bias.grad)
    network.zero_grad()
    return found


class Dense(nn.Module):
    """A network that the attacks work on, to show that they do: its first layer is fully connected.

    Args:
        shape: Of an image, `(C, X, Y, Z)`.
        regions: R.
    """

    def __init__(self, shape: torch.Size, regions: int) -> None:
        super().__init__()
        self.size = shape[1:]
        self.first = nn.Linear(shape.numel(), 8)
        self.last = nn.Linear(8, regions)

    def forward(self, images: Tensor) -> Tensor:
        """Return the same logits for all voxels of an image."""
        logits: Tensor = self.last(self.first(images.flatten(1)))
        return logits[:, :, None, None, None].expand(-1, -1, *self.size)
