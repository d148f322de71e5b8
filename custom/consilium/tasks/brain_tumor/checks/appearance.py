"""Position-independent appearance of a head, to find duplicate examinations.

Intensities are ranked, so brightness and contrast don't matter; positions are along the principal axes of the
brain, so a rotation of a few degrees, a shift and another voxel size don't either.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from consilium.tasks.brain_tumor.checks.brain import BrainView
from consilium.tasks.segmentation.checks.view import FloatMap

ALIKE: Final = 0.75
"""Mean correlation over the modalities from which two heads may be one.

Different patients reached 0.54 (22, three of them real); copies that were rotated, resampled to half of the
resolution, blurred or given a bias field 0.82 and more, those that were rotated and resampled among them.
"""

SAME: Final = 0.8
"""Correlation in each modality from which two heads are one: different patients reached 0.45, and three
images of four that are shared leave one at that."""

_POINTS = (12, 14, 11)
_STEP_MM = 12.0
_SMOOTH_MM = 3.0
_BACKGROUND_MM = 10.0
_MIN_INSIDE = 100
_LEVELS = 127
_BLOCK = 256

Appearance = NDArray[np.float32]
"""`(modalities, points)`: ranks around 0 of norm 1 in each modality, 0 outside of the brain."""


def describe_appearance(view: BrainView) -> str | None:
    """Describe a head by the ranks of its detail at points 12 mm apart; None with too little brain."""
    if not view.measurable:
        return None
    size = np.asarray(view.coarse_mm)
    places, brain = _places(view.inside, size), view.inside.astype(np.float32)
    weight = [_smooth(brain, mm / size) for mm in (_SMOOTH_MM, _BACKGROUND_MM)]
    inside = _at(weight[0], places) > 0.5
    if np.count_nonzero(inside) < _MIN_INSIDE:
        return None
    described = np.zeros((len(view.contrast), inside.size), dtype=np.int8)
    for row, contrast in zip(described, view.contrast.values(), strict=True):
        image = np.where(view.inside, contrast, 0).astype(np.float32)
        fine, coarse = (
            (_smooth(image, mm / size) / np.maximum(share, 0.05)).astype(np.float32)
            for mm, share in zip((_SMOOTH_MM, _BACKGROUND_MM), weight, strict=True)
        )
        ranks = rankdata(_at(fine - coarse, places)[inside])
        row[inside] = np.rint((ranks / len(ranks) * 2 - 1) * _LEVELS).astype(np.int8)
    return base64.b64encode(described.tobytes()).decode()


def similarity(one: str, other: str) -> NDArray[np.float32]:
    """Return the correlation of two heads in each modality, `(modalities,)`; 0 where they don't compare."""
    first, second = _read(one), _read(other)
    if first.shape != second.shape:
        return np.zeros(1, dtype=np.float32)
    return cast(NDArray[np.float32], (first * second).sum(axis=1))


def alike(appearances: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    """Find heads that may be one.

    Args:
        appearances: Case id to what `describe_appearance` returned; those of as many modalities are compared.

    Yields:
        Two case ids, and their mean correlation.
    """
    by_modalities: dict[int, dict[str, Appearance]] = defaultdict(dict)
    for case_id in sorted(appearances):
        row = _read(appearances[case_id])
        by_modalities[len(row)][case_id] = row
    for described in by_modalities.values():
        yield from _alike(list(described), list(described.values()))


def _alike(ids: Sequence[str], rows: Sequence[Appearance]) -> Iterator[tuple[str, str, float]]:
    table = np.stack([row.ravel() / np.sqrt(len(row), dtype=np.float32) for row in rows])
    for start in range(0, len(ids), _BLOCK):
        agreement = table[start : start + _BLOCK] @ table.T
        for row, column in np.argwhere(agreement >= ALIKE):
            if start + row < column:
                yield ids[start + row], ids[column], float(agreement[row, column])


def _places(brain: NDArray[np.bool_], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points along the brain's principal axes, each named by the axis of the volume that it is closest to."""
    points = np.argwhere(brain) * size
    center = points.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((points - center).T))
    _, order = linear_sum_assignment(-np.abs(axes))
    axes = axes[:, order]
    axes = axes * np.sign(np.diag(axes))
    lines = [(np.arange(count) - (count - 1) / 2) * _STEP_MM for count in _POINTS]
    grid = np.stack(np.meshgrid(*lines, indexing="ij")).reshape(3, -1)
    return cast(NDArray[np.float64], (center[:, None] + axes @ grid) / size[:, None])


def _smooth(image: FloatMap, sigma: NDArray[np.float64]) -> FloatMap:
    return cast(FloatMap, ndimage.gaussian_filter(image, sigma))


def _at(image: FloatMap, places: NDArray[np.float64]) -> FloatMap:
    return cast(FloatMap, ndimage.map_coordinates(image, places, order=1))


def _read(appearance: str) -> Appearance:
    levels = np.frombuffer(base64.b64decode(appearance), dtype=np.int8)
    rows = levels.reshape(-1, int(np.prod(_POINTS))).astype(np.float32)
    return cast(Appearance, rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1))
