"""Fields of view that end within the head, as a short examination leaves them."""

import numpy as np

from consilium.tasks.brain_tumor.synthetic.noise import BoolMap
from consilium.tasks.brain_tumor.synthetic.tumor import LabelMap

_BASE_MM, _TOP_MM = (10.0, 50.0), (0.0, 30.0)
# Share of the tumor that may lie beyond either end.
_TUMOR_BEYOND = 0.1


def short_field(brain: BoolMap, label: LabelMap, spacing_mm: float, rng: np.random.Generator) -> BoolMap:
    """The part of a brain `(X, Y, Z)` that a short stack of axial slices shows.

    The base of the brain is missing, often its top, too; nine tenths of the tumor at least are above the
    first slice, and as much below the last.

    Args:
        brain: The whole brain.
        label: The tumor.
        spacing_mm: Size of a voxel.
        rng: The source of randomness.
    """
    slices = np.flatnonzero(brain.any(axis=(0, 1)))
    filled = np.cumsum((label > 0).sum(axis=(0, 1))) / max(int((label > 0).sum()), 1)
    base = slices[0] + round(rng.uniform(*_BASE_MM) / spacing_mm)
    top = slices[-1] - round(rng.uniform(*_TOP_MM) / spacing_mm)
    first = min(base, int(np.searchsorted(filled, _TUMOR_BEYOND)))
    last = max(top, int(np.searchsorted(filled, 1 - _TUMOR_BEYOND)))
    field = brain.copy()
    field[:, :, :first] = False
    field[:, :, last + 1 :] = False
    return field
