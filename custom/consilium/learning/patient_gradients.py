"""Sum of clipped gradients, one a patient, with Gaussian noise: one step of DP-SGD.

Abadi et al. 2016, arXiv:1607.00133, with a patient in place of an example, as McMahan et al. 2018,
arXiv:1710.06963, have a user.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from consilium.learning.secure_random import SecureRandom

_GRID: Final = 2.0**-30
"""Step of the grid, in clipping bounds."""

_MARGIN: Final = 1 - 2.0**-30
"""Clipped gradients are this much shorter than the bound: far more than rounding adds to them."""

LEAST_NOISE: Final = 1e-3
"""Smallest standard deviation of noise, in clipping bounds: a million steps of the grid."""

MOST_NOISE: Final = 1e5
"""Largest one: with it, all sums stay whole numbers in float64."""


class PatientGradients:
    """Adds up the gradients of patients, each clipped to one bound, and noise that hides any one of them.

    With clipped gradients `g_i = G_i min(1, C / |G_i|)`, the result is `(sum_i g_i + C sigma N(0, I)) / B`.
    A patient that is added or removed changes the sum by at most C, so C is the clipping bound and the
    sensitivity. B, the expected number of patients, is no secret; the number of those drawn would be one.

    The sum is of whole numbers, multiples of 2**-30 C: a clipped gradient is rounded towards zero, which
    makes it no longer, and the noise to the nearest. So the sum is exact and independent of its order, and
    the result is that of noise in real numbers, rounded afterwards: the low bits of a floating-point sum,
    which reveal what was added to the noise (Mironov 2012, doi 10.1145/2382196.2382264), never exist.

    Args:
        parameters: Tensors of the shapes of a gradient, on the device to add up on.
        clip: C; a longer gradient of a patient is scaled down to this Euclidean norm.

    Attributes:
        total: The sum, `(D,)` int64 in steps of the grid. Processes that share a step add these.

    Example:
        >>> weights = [torch.zeros(2)]
        >>> step = PatientGradients(weights, clip=1.0)
        >>> step.add([torch.tensor([30.0, 40.0])])
        True
        >>> step.mean(expected=2.0)[0]
        tensor([0.3000, 0.4000])
    """

    def __init__(self, parameters: Sequence[Tensor], *, clip: float) -> None:
        if not (math.isfinite(clip) and clip > 0):
            raise ValueError(f"the clipping bound is {clip}; allowed: a finite number above 0")
        self._like = [parameter.detach() for parameter in parameters]
        self._clip = clip
        self.total = torch.zeros(
            sum(one.numel() for one in self._like), dtype=torch.int64, device=self._like[0].device
        )

    def add(self, gradients: Sequence[Tensor]) -> bool:
        """Add the gradient of one patient, of whom nothing else may be added in this step.

        Args:
            gradients: Of the patient's mean loss, in the order of the parameters.

        Returns:
            Whether it counts: one that is not finite is left out, as if the patient had not been drawn.
        """
        flat = torch.cat([one.detach().reshape(-1).double() for one in gradients])
        if flat.shape != self.total.shape:
            raise ValueError(f"a gradient of {flat.numel()} numbers; expected: {self.total.numel()}")
        norm = float(torch.linalg.vector_norm(flat))
        if not math.isfinite(norm):
            return False
        bound = self._clip * _MARGIN
        scale = bound / norm if norm > bound else 1.0
        self.total += flat.mul_(scale).div_(self._clip * _GRID).to(torch.int64)  # towards zero
        return True

    def add_noise(self, sigma: float, random: SecureRandom) -> None:
        """Add Gaussian noise, once in a step, in one of the processes that share it.

        Args:
            sigma: Its standard deviation in every direction, in clipping bounds.
            random: Where it is drawn from.
        """
        if not LEAST_NOISE <= sigma <= MOST_NOISE:
            raise ValueError(f"sigma is {sigma}; allowed: {LEAST_NOISE:g} to {MOST_NOISE:g}")
        noise = random.gaussian(self.total.numel()).mul_(sigma / _GRID).round_()
        self.total += noise.to(torch.int64).to(self.total.device)

    def mean(self, expected: float) -> list[Tensor]:
        """Return the sum divided by the expected number of patients, with the parameters' shapes and types.

        Args:
            expected: B.
        """
        flat = self.total.double() * (self._clip * _GRID / expected)
        parts = torch.split(flat, [one.numel() for one in self._like])
        return [part.reshape(one.shape).to(one.dtype) for part, one in zip(parts, self._like, strict=True)]
