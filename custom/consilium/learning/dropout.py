"""Dropout that drops the same channels of the same patch, however many processes share a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from consilium.learning.processes.ranks import BatchShare


class BatchDropout(nn.Module):
    """Drops whole channels of 3D features, as `torch.nn.Dropout3d` does.

    The method is that of Tompson et al. 2015, arXiv:1411.4280.

    Args:
        probability: Of a channel to be dropped, 0 to 1.
        share: The rows of the batch that come through here; the draw is for the whole batch.
        generator: On the CPU, whatever the device of the features: the draw is then the same everywhere.
    """

    def __init__(self, probability: float, share: BatchShare, generator: torch.Generator) -> None:
        super().__init__()
        self._probability = probability
        self._share = share
        self._generator = generator

    def forward(self, features: Tensor) -> Tensor:
        """Drop channels of `(N, C, X, Y, Z)` and scale up the others; nothing outside training."""
        if not self.training:
            return features
        draw = torch.rand(self._share.batch_size, features.shape[1], generator=self._generator)
        kept = (draw[self._share.rows] >= self._probability).to(features)
        scale = 1 / (1 - self._probability) if self._probability < 1 else 0.0
        return features * (kept * scale)[:, :, None, None, None]


def share_dropout(network: nn.Module, share: BatchShare, generator: torch.Generator) -> None:
    """Replace every `Dropout3d` inside a network, in place; names of weights stay as they are."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Dropout3d):
            network.set_submodule(name, BatchDropout(layer.p, share, generator))
