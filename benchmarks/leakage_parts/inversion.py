"""Gradient inversion by optimization: images whose gradient resembles an update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from monai.metrics.regression import SSIMMetric
from torch import Tensor, nn

from leakage_parts.matching import gradients_of, likeness


@dataclass(frozen=True)
class Inversion:
    """An attack with fixed effort.

    Attributes:
        iterations: Of Adam, with a rate that falls to nothing.
        rate: Its first.
        smoothness: Weight of the total variation.
    """

    iterations: int = 200
    rate: float = 0.3
    smoothness: float = 0.3

    def run(
        self,
        network: nn.Module,
        loss: nn.Module,
        update: Sequence[Tensor],
        regions: Tensor,
        start: Tensor,
        *,
        on_iteration: Callable[[int, float], None] = lambda done, likeness: None,
    ) -> Tensor:
        """Search for the images of an update; voxels that are 0 in all rows of `start` stay so.

        Args:
            network: With the weights that the update starts from.
            loss: Of the job.
            update: See `matching.seen`.
            regions: Targets of the images, known to this attacker, `(N, R, X, Y, Z)`.
            start: Where the search starts, `(N, C, X, Y, Z)`.
            on_iteration: Called with the iterations done and the likeness.
        """
        inside = (start != 0).any(dim=0, keepdim=True)
        images = start.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([images], lr=self.rate)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.iterations)
        for done in range(1, self.iterations + 1):
            shown = images * inside
            like = likeness(gradients_of(network, loss, shown, regions, differentiable=True), update)
            images.grad = torch.autograd.grad(-like + self.smoothness * total_variation(shown), images)[0]
            optimizer.step()
            fall.step()
            on_iteration(done, float(like.detach()))
        return (images * inside).detach()


def total_variation(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighboring voxels, summed over the axes."""
    return torch.stack([images.diff(dim=axis).abs().mean() for axis in (2, 3, 4)]).sum()


def correlation(one: Tensor, other: Tensor) -> float:
    """Return the mean of the channels' correlations between two images `(C, X, Y, Z)`."""
    flat = [image.flatten(1) - image.flatten(1).mean(dim=1, keepdim=True) for image in (one, other)]
    norms = flat[0].norm(dim=1) * flat[1].norm(dim=1)
    return float(((flat[0] * flat[1]).sum(dim=1) / norms.clamp(min=1e-12)).mean())


def fidelity(found: Tensor, true: Tensor) -> dict[str, float]:
    """Return SSIM and PSNR (dB) of an image `(C, X, Y, Z)`, each channel scaled to fit the true one best."""
    axes = (1, 2, 3)
    factor = (found * true).sum(axes, keepdim=True) / (found**2).sum(axes, keepdim=True).clamp(min=1e-12)
    scaled, span = found * factor, float(true.max() - true.min())
    error = float(((scaled - true) ** 2).mean())
    ssim = SSIMMetric(3, data_range=span, win_size=7)(scaled[None], true[None])
    return {
        "ssim": float(ssim.mean()),
        "psnr_db": 10 * float(torch.log10(torch.tensor(span**2 / max(error, 1e-12)))),
    }
