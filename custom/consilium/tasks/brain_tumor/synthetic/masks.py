"""Operations on regions that shape tumors and cavities."""

from typing import cast

import numpy as np
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.noise import BoolMap, FloatMap


def largest_part(mask: BoolMap) -> BoolMap:
    """Return the largest connected part of a region that is not empty."""
    parts, _ = ndimage.label(mask)
    return cast("BoolMap", parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))


def without_holes(mask: BoolMap) -> BoolMap:
    """Return a connected region with what it encloses."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    filled = mask.copy()
    filled[box] = ndimage.binary_fill_holes(mask[box])
    return filled


def soften(mask: BoolMap) -> FloatMap:
    """Return a region's share of each voxel, 0 to 1: partial volume at its edge."""
    return cast("FloatMap", ndimage.gaussian_filter(mask.astype(np.float32), 0.55))
