"""Overlap of two masks: the four counts of voxels, and the metrics that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""Booleans, `(X, Y, Z)`."""

MM3_PER_ML: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """Voxels of a region by what prediction and reference hold of them.

    Attributes:
        both: In prediction and reference (true positives).
        predicted_only: In the prediction alone (false positives).
        reference_only: In the reference alone (false negatives).
        neither: In none of them (true negatives).
    """

    both: int
    predicted_only: int
    reference_only: int
    neither: int

    @classmethod
    def of(cls, prediction: Mask, reference: Mask, *, grid_voxels: int | None = None) -> Overlap:
        """Count the voxels of two masks.

        Args:
            prediction: `(X, Y, Z)`.
            reference: `(X, Y, Z)`.
            grid_voxels: Voxels of the whole image, where the masks are a crop outside of which both are
                empty; None where they are the whole image.

        Raises:
            ValueError: If the shapes differ, or the image is smaller than the masks.

        Example:
            >>> counts = Overlap.of(np.array([[[True, True, False]]]), np.array([[[True, False, False]]]))
            >>> counts.dice, counts.sensitivity, counts.specificity
            (0.6666666666666666, 1.0, 0.5)
        """
        if prediction.shape != reference.shape:
            raise ValueError(f"shapes differ: prediction {prediction.shape}, reference {reference.shape}")
        voxels = prediction.size if grid_voxels is None else grid_voxels
        if voxels < prediction.size:
            raise ValueError(f"grid_voxels is {voxels}, below the masks' {prediction.size}")
        both = int(np.count_nonzero(prediction & reference))
        predicted_only = int(np.count_nonzero(prediction)) - both
        reference_only = int(np.count_nonzero(reference)) - both
        return cls(both, predicted_only, reference_only, voxels - both - predicted_only - reference_only)

    @property
    def dice(self) -> float:
        """Twice the overlap over the sum of both sizes; 1 where both are empty."""
        sizes = 2 * self.both + self.predicted_only + self.reference_only
        return 2 * self.both / sizes if sizes else 1.0

    @property
    def sensitivity(self) -> float:
        """Share of the reference that was found; without a reference 1 if nothing was predicted, else 0.

        There is nothing to be found without a reference. The evaluation of BraTS 2023 sets these values, so
        that they agree with Dice.
        """
        reference = self.both + self.reference_only
        return self.both / reference if reference else float(self.predicted_only == 0)

    @property
    def specificity(self) -> float:
        """Share of the image outside the reference that was left out; 1 if nothing lies outside."""
        outside = self.neither + self.predicted_only
        return self.neither / outside if outside else 1.0

    def volumes_ml(self, voxel_mm3: float) -> tuple[float, float]:
        """Return the volumes of prediction and reference, mL.

        Args:
            voxel_mm3: Volume of a voxel.
        """
        scale = voxel_mm3 / MM3_PER_ML
        return (self.both + self.predicted_only) * scale, (self.both + self.reference_only) * scale


def bounding_box(mask: Mask) -> tuple[slice, slice, slice] | None:
    """Return the smallest box around a mask; None where it is empty.

    Example:
        >>> mask = np.zeros((4, 4, 4), bool)
        >>> mask[1:3, 2, 0] = True
        >>> bounding_box(mask)
        (slice(1, 3, None), slice(2, 3, None), slice(0, 1, None))
    """
    plane = np.asarray(mask.any(axis=2))
    hits = [np.flatnonzero(one) for one in (np.any(plane, 1), np.any(plane, 0), mask.any(axis=(0, 1)))]
    if not len(hits[0]):
        return None
    x, y, z = (slice(int(one[0]), int(one[-1]) + 1) for one in hits)
    return x, y, z
