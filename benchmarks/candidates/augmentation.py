"""Augmentation of whole batches on the network's device, after nnU-Net (doi 10.1038/s41592-020-01008-z)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from consilium.tasks.method import BatchShare


class Augmentation(Protocol):
    """A change of a batch at random, in place. The background stays exactly 0, as the network expects."""

    def __call__(
        self, images: Tensor, regions: Tensor, share: BatchShare, generator: torch.Generator
    ) -> None:
        """Change a batch.

        Args:
            images: `(N, C, X, Y, Z)`.
            regions: `(N, R, X, Y, Z)`, turned as the images are.
            share: The rows of the whole batch that these are.
            generator: On the CPU; the draw is for the whole batch.
        """


@dataclass(frozen=True)
class Affine:
    """Rotates and scales some patches about their middles, images linearly and regions by nearest voxel.

    Args:
        probability: Of a patch to be rotated, and of one to be scaled.
        degrees: Largest angle about each axis.
        scale: Largest factor of enlargement; its inverse is the smallest.
    """

    probability: float = 0.2
    degrees: float = 30.0
    scale: float = 1.4

    def __call__(
        self, images: Tensor, regions: Tensor, share: BatchShare, generator: torch.Generator
    ) -> None:
        """Rotate and scale."""
        size = share.batch_size
        angles = _uniform((size, 3), -math.radians(self.degrees), math.radians(self.degrees), generator)
        factors = _uniform((size, 1), -math.log(self.scale), math.log(self.scale), generator).exp()
        turned, scaled = (torch.rand(size, generator=generator) < self.probability for _ in range(2))
        angles[~turned] = 0
        factors[~scaled] = 1
        changed = (turned | scaled)[share.rows].nonzero()[:, 0].tolist()
        for row in changed:
            place = row + share.rows.start
            matrix = _rotation(angles[place]) / factors[place]
            # Positions of affine_grid go from -1 to 1 along every axis, whatever its length, Z first.
            half = torch.tensor(images.shape[:1:-1]) / 2
            theta = torch.zeros(1, 3, 4)
            theta[0, :, :3] = matrix * half[None, :] / half[:, None]
            grid = F.affine_grid(theta, [1, 1, *images.shape[2:]], align_corners=False).to(images.device)
            image, region = images[row : row + 1], regions[row : row + 1]
            inside = _sample((image != 0).float(), grid, "nearest")
            images[row] = (_sample(image, grid, "bilinear") * inside)[0]
            regions[row] = _sample(region, grid, "nearest")[0]


@dataclass(frozen=True)
class Noise:
    """Adds white noise to some images.

    Args:
        probability: Of an image.
        largest: Largest standard deviation; images have one of 1.
    """

    probability: float = 0.15
    largest: float = 0.3

    def __call__(
        self, images: Tensor, regions: Tensor, share: BatchShare, generator: torch.Generator
    ) -> None:
        """Add noise."""
        for row, channel, strength in _chosen(images, share, generator, self.probability, 0, self.largest):
            image = images[row, channel]
            # A seed of the drawn strength: the same on whatever process has the row, on any device.
            own = torch.Generator(image.device).manual_seed(int(strength * 2**40))
            noise = torch.randn(image.shape, generator=own, device=image.device)
            image += noise * strength * (image != 0)


@dataclass(frozen=True)
class Blur:
    """Blurs some images with a Gaussian.

    Args:
        probability: Of an image.
        sigma: Smallest and largest, in voxels.
    """

    probability: float = 0.1
    sigma: tuple[float, float] = (0.5, 1.0)

    def __call__(
        self, images: Tensor, regions: Tensor, share: BatchShare, generator: torch.Generator
    ) -> None:
        """Blur."""
        for row, channel, sigma in _chosen(images, share, generator, self.probability, *self.sigma):
            image = images[row, channel]
            inside, blurred = image != 0, image[None, None]
            weights = torch.exp(-0.5 * (torch.arange(-2.0, 3.0, device=image.device) / sigma) ** 2)
            weights = weights / weights.sum()
            for axis in range(3):
                shape, pad = [1] * 5, [0] * 3
                shape[2 + axis], pad[axis] = 5, 2
                blurred = F.conv3d(blurred, weights.reshape(shape), padding=pad)
            images[row, channel] = blurred[0, 0] * inside


@dataclass(frozen=True)
class LowResolution:
    """Shrinks some images by nearest voxel and enlarges them again.

    Args:
        probability: Of an image.
        smallest: Smallest share of the voxels along each axis.
    """

    probability: float = 0.125
    smallest: float = 0.5

    def __call__(
        self, images: Tensor, regions: Tensor, share: BatchShare, generator: torch.Generator
    ) -> None:
        """Lower the resolution."""
        for row, channel, zoom in _chosen(images, share, generator, self.probability, self.smallest, 1):
            image = images[row, channel]
            size = [max(1, round(length * zoom)) for length in image.shape]
            small = F.interpolate(image[None, None], size, mode="nearest-exact")
            large = F.interpolate(small, image.shape, mode="trilinear", align_corners=False)
            images[row, channel] = large[0, 0] * (image != 0)


@dataclass(frozen=True)
class BiasField:
    """Multiplies some images by a smooth field, as an uneven coil does.

    Args:
        probability: Of an image.
        strength: Largest logarithm of the factor at a knot of the field.
        knots: Along each axis.
    """

    probability: float = 0.5
    strength: float = 0.3
    knots: int = 3

    def __call__(
        self, images: Tensor, regions: Tensor, share: BatchShare, generator: torch.Generator
    ) -> None:
        """Multiply."""
        shape = (share.batch_size, images.shape[1], *(self.knots,) * 3)
        knots = _uniform(shape, -self.strength, self.strength, generator)
        knots[torch.rand(shape[:2], generator=generator) >= self.probability] = 0
        field = F.interpolate(knots[share.rows].to(images.device), images.shape[2:], mode="trilinear")
        images *= field.exp()


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator)


def _chosen(
    images: Tensor,
    share: BatchShare,
    generator: torch.Generator,
    probability: float,
    low: float,
    high: float,
) -> list[tuple[int, int, float]]:
    """The images of these rows that change: row, channel, and how much."""
    shape = (share.batch_size, images.shape[1])
    chosen = torch.rand(shape, generator=generator) < probability
    strengths = _uniform(shape, low, high, generator)[share.rows]
    places = chosen[share.rows].nonzero().tolist()
    return [(row, channel, float(strengths[row, channel])) for row, channel in places]


def _rotation(angles: Tensor) -> Tensor:
    """Rotation about the three axes in turn, `(3, 3)`."""
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        one, other = [other for other in range(3) if other != axis]
        turn = torch.eye(3)
        turn[one, one] = turn[other, other] = angle.cos()
        turn[one, other], turn[other, one] = -angle.sin(), angle.sin()
        matrix = turn @ matrix
    return matrix


def _sample(values: Tensor, grid: Tensor, mode: str) -> Tensor:
    return F.grid_sample(values, grid, mode=mode, align_corners=False)


EACH: dict[str, Callable[[], Augmentation]] = {
    "affine": Affine,
    "noise": Noise,
    "blur": Blur,
    "low_resolution": LowResolution,
    "bias_field": BiasField,
}
