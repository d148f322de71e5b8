"""Lesion-wise Dice and HD95, as BraTS 2023 defined them.

The definition is that of the challenge's organizers, in https://github.com/rachitsaluja/BraTS-2023-Metrics
and on the challenge's page (Synapse syn51156910):

1. The reference is dilated. Everything of the reference within one connected component of the result
   (26 neighbors) is one lesion, so specks near a lesion belong to it.
2. The predicted components (26 neighbors) that touch a lesion's dilation are compared with the lesion, all
   together and as a whole. A component may belong to several lesions.
3. Lesions up to a given volume are ignored, and so are the components that touch only them.
4. A lesion that no component touches scores Dice 0 and the penalty distance. So does each component, of
   whatever size, that touches no lesion's dilation.
5. The score is the mean over lesions and such components; without any of them Dice is 1 and HD95 0.

The challenge's images all have 1 mm voxels, and its dilation is three steps of the 18-neighborhood. Here the
same reach is stated in mm: at most 3 mm along each axis and 6 mm along all axes together. At 1 mm that is the
same set of voxels; on other grids it is as far in the patient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from consilium.tasks.segmentation.measurement.definitions import LesionRule
from consilium.tasks.segmentation.measurement.overlap import Mask, bounding_box
from consilium.tasks.segmentation.measurement.surfaces import surface_distances

_ROUNDING: Final = 1e-6
"""Spacings are 32-bit numbers in files."""

_Labels = NDArray[np.int32]
_Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class LesionScores:
    """Scores of one region of a case, lesion by lesion.

    Attributes:
        dice: Mean over detected and missed lesions and false positives.
        hd95_mm: The mean of HD95 over the same, by area of the surface.
        detected: Lesions that a predicted component touches.
        missed: Lesions that none touches.
        false_positives: Predicted components that touch no lesion.
        ignored: Lesions that are too small to count.
    """

    dice: float
    hd95_mm: float
    detected: int
    missed: int
    false_positives: int
    ignored: int


def score_lesions(
    prediction: Mask, reference: Mask, spacing_mm: Sequence[float], rule: LesionRule
) -> LesionScores:
    """Score the lesions of one region.

    Args:
        prediction: `(X, Y, Z)`.
        reference: `(X, Y, Z)`.
        spacing_mm: Voxel size along X, Y, Z.
        rule: See `LesionRule`.

    Example:
        >>> reference = np.zeros((30, 12, 12), bool)
        >>> reference[2:8, 2:8, 2:8] = reference[20:26, 2:8, 2:8] = True
        >>> prediction = reference.copy()
        >>> prediction[15:] = False
        >>> score_lesions(prediction, reference, (1.0, 1.0, 1.0), LesionRule(3, 50, 374)).dice
        0.5
    """
    box = bounding_box(prediction | reference)
    if box is None:
        return LesionScores(dice=1.0, hd95_mm=0.0, detected=0, missed=0, false_positives=0, ignored=0)
    # Dilations that meet outside of the box also meet in it: its nearest point belongs to both.
    case = _MatchedCase.of(prediction[box], reference[box], rule.dilation_mm, spacing_mm)
    limit = rule.ignored_mm3 * (1 + _ROUNDING) / math.prod(float(one) for one in spacing_mm)
    counted = [lesion for lesion in range(1, len(case.components_of)) if case.sizes[lesion] > limit]
    detected = [lesion for lesion in counted if len(case.components_of[lesion])]
    wrong = len(counted) - len(detected) + case.false_positives
    scores = [case.score(lesion, spacing_mm) for lesion in detected] + [(0.0, rule.penalty_mm)] * wrong
    dice, distance = np.mean(scores or [(1.0, 0.0)], axis=0)
    return LesionScores(
        dice=float(dice),
        hd95_mm=float(distance),
        detected=len(detected),
        missed=len(counted) - len(detected),
        false_positives=case.false_positives,
        ignored=len(case.components_of) - 1 - len(counted),
    )


@dataclass(frozen=True)
class _MatchedCase:
    """Lesions of a reference and predicted components, numbered from 1, and which belong together.

    Attributes:
        lesions: The lesion of each voxel of the reference, 0 elsewhere.
        components: The component of each predicted voxel, 0 elsewhere.
        sizes: Voxels of each lesion.
        component_sizes: Voxels of each component.
        components_of: The components that belong to each lesion; none to 0.
        false_positives: Components that belong to no lesion.
    """

    lesions: _Labels
    components: _Labels
    sizes: NDArray[np.intp]
    component_sizes: NDArray[np.intp]
    components_of: list[NDArray[np.int64]]
    false_positives: int

    @classmethod
    def of(
        cls, prediction: Mask, reference: Mask, dilation_mm: float, spacing_mm: Sequence[float]
    ) -> _MatchedCase:
        near, lesions = _connect(_dilate(reference, dilation_mm, spacing_mm))
        components, count = _connect(prediction)
        labels: _Labels = np.where(reference, near, 0)
        pairs = np.unique(near[prediction].astype(np.int64) * (count + 1) + components[prediction])
        lesion, component = np.divmod(pairs, count + 1)  # in the order of the lesions; 0 is not a lesion
        components_of = np.split(component, np.searchsorted(lesion, np.arange(1, lesions + 1)))
        components_of[0] = components_of[0][:0]
        return cls(
            lesions=labels,
            components=components,
            sizes=np.bincount(labels.ravel(), minlength=lesions + 1),
            component_sizes=np.bincount(components.ravel(), minlength=count + 1),
            components_of=components_of,
            false_positives=count - len(np.unique(component[lesion > 0])),
        )

    @cached_property
    def _boxes(self) -> tuple[list[_Box], list[_Box]]:
        """The box around each lesion and each component, from 1 on."""
        return ndimage.find_objects(self.lesions), ndimage.find_objects(self.components)

    def score(self, lesion: int, spacing_mm: Sequence[float]) -> tuple[float, float]:
        """Return Dice and HD95, mm, of a lesion and all the components that belong to it."""
        components = self.components_of[lesion]
        of_lesions, of_components = self._boxes
        box = _enclose([of_lesions[lesion - 1], *(of_components[component - 1] for component in components)])
        given = self.lesions[box] == lesion
        found = np.isin(self.components[box], components)
        sizes = int(self.component_sizes[components].sum() + self.sizes[lesion])
        dice = 2 * int(np.count_nonzero(found & given)) / sizes
        return dice, surface_distances(found, given, spacing_mm).hd95_by_area


def _enclose(boxes: Sequence[_Box]) -> _Box:
    """The smallest box around boxes."""
    return tuple(
        slice(min(one.start for one in axis), max(one.stop for one in axis))
        for axis in zip(*boxes, strict=True)
    )


def _connect(mask: Mask) -> tuple[_Labels, int]:
    """Number the connected components of a mask (26 neighbors) from 1 on."""
    labels = np.zeros(mask.shape, np.int32)
    count = ndimage.label(mask, structure=np.ones((3, 3, 3), bool), output=labels)
    return labels, int(count)


def _dilate(mask: Mask, reach_mm: float, spacing_mm: Sequence[float]) -> Mask:
    """Add all voxels within the reach along each axis and twice the reach along all axes together."""
    reach = reach_mm * (1 + _ROUNDING)
    x, y, z = (float(one) for one in spacing_mm)
    runs = _dilate_along_z(mask, int(reach / z))
    dilated = np.zeros_like(mask)
    steps = [range(-int(reach / size), int(reach / size) + 1) for size in (x, y)]
    for right, forward in product(*steps):
        left = 2 * reach - abs(right) * x - abs(forward) * y
        target, source = (_shifted(right, sign) + _shifted(forward, sign) for sign in (1, -1))
        dilated[target] |= runs[min(int(left / z), len(runs) - 1)][source]
    return dilated


def _dilate_along_z(mask: Mask, most: int) -> list[Mask]:
    """The mask dilated along the last axis by 0, 1, ... voxels."""
    runs = [mask]
    for _ in range(most):
        longer = runs[-1].copy()
        longer[..., 1:] |= runs[-1][..., :-1]
        longer[..., :-1] |= runs[-1][..., 1:]
        runs.append(longer)
    return runs


def _shifted(steps: int, sign: int) -> tuple[slice]:
    """What of an axis has a voxel so many steps away."""
    steps *= sign
    return (slice(steps, None) if steps >= 0 else slice(None, steps),)
