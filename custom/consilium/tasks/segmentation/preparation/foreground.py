"""Box around the anatomy, without stray voxels and with all labeled ones."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from consilium.tasks.segmentation.orientation import Shape3D, Spacing3D, crop_slices

BLOCK_MM: Final = 3.0
"""Voxels are joined into blocks of about this edge before connected parts are looked for."""

_MAX_STEP = 8  # voxels of less than 0.4 mm are a mistake in the header
_MIN_PART = 0.005
_MARGIN_VOXELS = 2


def anatomy_box(
    marked: NDArray[np.bool_], labeled: NDArray[np.bool_] | None, spacing_mm: Spacing3D
) -> tuple[Shape3D, Shape3D]:
    """Find the box around the anatomy and the label, with a margin where the volume has room for it.

    The anatomy is what is connected in blocks of 3 mm of which more than half of the voxels are marked, and
    what touches these blocks. Parts of less than 0.5 % of the largest are none of it. Where nothing is that
    solid, everything marked counts.

    Args:
        marked: Where any image is foreground, `(X, Y, Z)`, with something in it.
        labeled: Where the label is nonzero; all of it is in the box. None for an unlabeled case.
        spacing_mm: Voxel size.

    Returns:
        First index and one past the last, along each axis.
    """
    bounds = _anatomy_extents(marked, spacing_mm) or extents(marked)
    if labeled is not None and labeled.any():
        pairs = zip(bounds, extents(labeled), strict=True)
        bounds = [(min(a, c), max(b, d)) for (a, b), (c, d) in pairs]
    start = [max(first - _MARGIN_VOXELS, 0) for first, _ in bounds]
    stop = [
        min(last + 1 + _MARGIN_VOXELS, size) for (_, last), size in zip(bounds, marked.shape, strict=True)
    ]
    return _shape3d(start), _shape3d(stop)


def extents(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of what is marked, along each axis.

    Args:
        marked: `(X, Y, Z)`, with something in it.
    """
    rows, column = np.any(marked, axis=2), np.any(marked, axis=(0, 1))
    found = [np.flatnonzero(line) for line in (np.any(rows, axis=1), np.any(rows, axis=0), column)]
    return [(int(indices[0]), int(indices[-1])) for indices in found]


def _anatomy_extents(marked: NDArray[np.bool_], spacing_mm: Spacing3D) -> list[tuple[int, int]] | None:
    """First and last index of the anatomy along each axis; None where nothing is solid enough to be one."""
    steps = [min(max(1, round(BLOCK_MM / size)), _MAX_STEP) for size in spacing_mm]
    solid = _solid_blocks(marked, steps)
    parts, count = ndimage.label(solid)
    if not count:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    large = (sizes >= _MIN_PART * sizes.max())[parts]
    near = ndimage.binary_dilation(large, np.ones((3, 3, 3), dtype=bool))
    box = extents(near)
    first = [low * step for (low, _), step in zip(box, steps, strict=True)]
    stop = [
        min((high + 1) * step, size) for (_, high), step, size in zip(box, steps, marked.shape, strict=True)
    ]
    inside = marked[crop_slices(_shape3d(first), _shape3d(stop))]
    blocks = near[tuple(slice(low, high + 1) for low, high in box)]
    for axis, step in enumerate(steps):
        blocks = blocks.repeat(step, axis)
    x, y, z = inside.shape
    found = extents(inside & blocks[:x, :y, :z])
    return [(low + offset, high + offset) for (low, high), offset in zip(found, first, strict=True)]


def _solid_blocks(marked: NDArray[np.bool_], steps: list[int]) -> NDArray[np.bool_]:
    """Blocks of which more than half of the voxels are marked; those at the far end may be smaller."""
    count: NDArray[Any] = marked.view(np.uint8)
    size = np.ones((1, 1, 1), dtype=np.uint16)
    for axis, step in reversed(list(enumerate(steps))):  # first the axis that is last in memory
        before = (slice(None),) * axis
        total = count[(*before, slice(0, None, step))].astype(np.uint16)
        for offset in range(1, step):
            part = count[(*before, slice(offset, None, step))]
            total[(*before, slice(0, part.shape[axis]))] += part
        starts = np.arange(0, marked.shape[axis], step)
        lengths = np.diff([*starts, marked.shape[axis]]).astype(np.uint16)
        size = size * np.expand_dims(lengths, [other for other in range(3) if other != axis])
        count = total
    return np.asarray(2 * count > size)


def _shape3d(indices: list[int]) -> Shape3D:
    x, y, z = indices
    return x, y, z
