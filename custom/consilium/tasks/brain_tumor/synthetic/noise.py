"""Smooth random fields for irregular structures in synthetic patients."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatMap: TypeAlias = npt.NDArray[np.float32]
"""A scalar per voxel, `(X, Y, Z)`, axes toward right, anterior and superior."""

BoolMap: TypeAlias = npt.NDArray[np.bool_]
"""A region, `(X, Y, Z)`."""

# Variance of the cubic B-spline as a blurring kernel, in knots.
_SPLINE_BLUR = 1 / 3


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], *, width_mm: float, spacing_mm: float
) -> FloatMap:
    """Draw a smooth field of zero mean and unit standard deviation.

    White noise on a lattice is blurred there and then blended by cubic B-splines: far faster than blurring
    noise on every voxel. Without the first step the axes of the lattice would show in the shapes.

    Args:
        rng: The source of randomness.
        shape: Voxels of the field, `(X, Y, Z)`.
        width_mm: Half the distance from one crest to the next, roughly.
        spacing_mm: Size of a voxel.

    Returns:
        The field, `(X, Y, Z)`.
    """
    width = width_mm / spacing_mm
    knot = max(width / 2, 1.0)
    total = (0.58 * width / knot) ** 2
    blur = max(total - _SPLINE_BLUR, 0.0)
    knots = rng.standard_normal([spline_knots(size, knot) for size in shape], dtype=np.float32)
    field = spline_field(ndimage.gaussian_filter(knots, blur**0.5), shape, knot)
    return field * np.float32((4 * np.pi * max(total, _SPLINE_BLUR)) ** 0.75)


def spline_field(knots: FloatMap, shape: tuple[int, int, int], knot: float) -> FloatMap:
    """Blend a lattice of values into a smooth field by cubic B-splines, which keep linear functions.

    Args:
        knots: Values on the lattice; on each axis `spline_knots(size, knot)` of them, the first at voxel
            `-knot`.
        shape: Voxels of the field, `(X, Y, Z)`.
        knot: Voxels between knots.

    Returns:
        The field, `(X, Y, Z)`.
    """
    # Last axis first: the largest step then copies whole contiguous planes. Sums of four terms instead of
    # matrix products: BLAS rounds differently with another number of threads, and its idle threads steal the
    # workers' time.
    for axis in (2, 1, 0):
        first, weights = _spline_weights(shape[axis], knot)
        column = [1, 1, 1]
        column[axis] = shape[axis]
        knots = sum(
            knots.take(first + step, axis=axis) * weight.reshape(column)
            for step, weight in enumerate(weights)
        )
    return knots


def spline_knots(size: int, knot: float) -> int:
    """How many knots an axis of `size` voxels needs, with a knot every `knot` voxels."""
    return int((size - 1) / knot) + 4


def _spline_weights(size: int, knot: float) -> tuple[npt.NDArray[np.intp], FloatMap]:
    """First of the four knots of every voxel, `(size,)`, and the weights of the four, `(4, size)`."""
    position = np.arange(size) / knot
    first = position.astype(np.intp)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return first, weights.astype(np.float32)
