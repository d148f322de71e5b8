"""Smooth random fields, the one ingredient that every irregular thing in a synthetic patient is made from."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatMap: TypeAlias = npt.NDArray[np.float32]
"""A scalar per voxel, `(X, Y, Z)`, axes toward right, anterior and superior."""

BoolMap: TypeAlias = npt.NDArray[np.bool_]
"""A region, `(X, Y, Z)`."""

# Integral of the squared cubic B-spline: the variance that one axis of interpolation leaves of unit white noise.
_SPLINE_VARIANCE = 151 / 315


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], *, knot_mm: float, spacing_mm: float
) -> FloatMap:
    """Draw a smooth field of zero mean and unit standard deviation.

    White noise on a lattice of knots is interpolated by cubic B-splines: twice continuously differentiable, and three
    small matrix products instead of one large convolution.

    Args:
        rng: The source of randomness.
        shape: Voxels of the field, `(X, Y, Z)`.
        knot_mm: Distance between knots; structures come out about twice as wide.
        spacing_mm: Size of a voxel.

    Returns:
        The field, `(X, Y, Z)`.
    """
    bases = [_spline_basis(size, max(knot_mm / spacing_mm, 1.0)) for size in shape]
    field = rng.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
    for basis in bases:
        # Contracts the leading axis and appends the result, so three turns restore the order of the axes.
        field = np.tensordot(field, basis, axes=(0, 1))
    return np.ascontiguousarray(field) / np.float32(_SPLINE_VARIANCE**1.5)


def _spline_basis(size: int, knot: float) -> npt.NDArray[np.float32]:
    """Cubic B-spline weights `(size, knots)` at `size` voxels, with a knot every `knot` voxels."""
    position = np.arange(size) / knot
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    basis = np.zeros((size, first[-1] + 4), dtype=np.float32)
    for offset, weight in enumerate(weights):
        basis[np.arange(size), first + offset] = weight
    return basis
