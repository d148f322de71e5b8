"""Delineation styles: how generously the raters of a hospital draw the edge of a tumor."""

import numpy as np
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.noise import BoolMap
from consilium.tasks.brain_tumor.synthetic.tumor import Label, LabelMap


def move_margin(label: LabelMap, field: BoolMap, margin_mm: float, spacing_mm: float) -> LabelMap:
    """Return a label whose edema ends farther out, or, by a negative margin, farther in; the core stays.

    Raters agree on the core more than on where edema ends.

    Args:
        label: The truth, `(X, Y, Z)`.
        field: What the images show of the brain: nothing is drawn outside.
        margin_mm: How far the edge moves.
        spacing_mm: Size of a voxel.
    """
    tumor, moved = label > Label.BACKGROUND, label.copy()
    edge = abs(margin_mm) + spacing_mm / 2  # distances are to a voxel's center
    if margin_mm > 0:
        near = ndimage.distance_transform_edt(~tumor, sampling=spacing_mm) <= edge
        moved[near & ~tumor & field] = Label.EDEMA
    elif margin_mm < 0:
        outer = ndimage.distance_transform_edt(tumor, sampling=spacing_mm) <= edge
        moved[outer & (label == Label.EDEMA)] = np.uint8(Label.BACKGROUND)
    return moved
