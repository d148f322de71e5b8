"""Dropout that is independent of the number of processes sharing a batch."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from consilium.tasks.method import BatchShare

_OF_CHANNELS: Final = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class BatchDropout(nn.Module):
    """Drops features as torch's layers do, single ones or whole channels.

    That of channels is by Tompson et al. 2015, arXiv:1411.4280.

    Args:
        probability: Of a feature or a channel to be dropped, 0 to 1.
        share: The rows of the batch that come through here; the draw is for the whole batch.
        generator: On the CPU, whatever the device of the features: the draw is then the same everywhere.
        channels: Whether whole channels are dropped.
    """

    def __init__(
        self, probability: float, share: BatchShare, generator: torch.Generator, *, channels: bool = True
    ) -> None:
        super().__init__()
        self._probability = probability
        self._share = share
        self._generator = generator
        self._channels = channels

    def forward(self, features: Tensor) -> Tensor:
        """Drop some of the features `(N, C, ...)` and scale up the others; nothing outside training."""
        if not self.training:
            return features
        drawn = features.shape[1:2] if self._channels else features.shape[1:]
        draw = torch.rand(self._share.batch_size, *drawn, generator=self._generator)
        kept = (draw[self._share.rows] >= self._probability).to(features)
        scale = 1 / (1 - self._probability) if self._probability < 1 else 0.0
        return features * (kept * scale).reshape(*kept.shape, *(1,) * (features.dim() - kept.dim()))


def share_dropout(network: nn.Module, share: BatchShare, generator: torch.Generator) -> None:
    """Replace the layers of a network that drop something, in place; names of weights stay as they are."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, (nn.Dropout, *_OF_CHANNELS)) and layer.p > 0:
            of_channels = isinstance(layer, _OF_CHANNELS)
            network.set_submodule(name, BatchDropout(layer.p, share, generator, channels=of_channels))
