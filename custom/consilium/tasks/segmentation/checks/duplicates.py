"""Check for one image stored under two names."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.view import BoolMap, CaseView
from consilium.tasks.segmentation.codes import VolumeCode

_MIN_VOXELS = 100
_SPARSE = (slice(None, None, 8),) * 3
_WHOLE = (slice(None),) * 3
_UNEXPLAINED = 2e-3
"""Share of an image's variance that another one leaves open when it is scaled and shifted to fit. Three real
patients: a copy in 256 gray levels leaves 1.5e-4 at most, two contrasts of one brain 0.2 at least."""


def check_duplicates(view: CaseView) -> Iterator[Finding]:
    """One image under the names of two modalities: voxel by voxel, or scaled and shifted as exports do."""
    images, foreground = view.native.images, view.foreground
    for first, second in itertools.combinations(images, 2):
        one, other = images[first], images[second]
        if all(np.array_equal(one[part], other[part]) for part in (_SPARSE, _WHOLE)):
            detail = f"{second} holds the same voxels as {first}."
        elif _is_scaled(one, other, foreground[first] & foreground[second]):
            detail = f"{second} holds the voxels of {first}, multiplied."
        else:
            continue
        yield view.finding(VolumeCode.DUPLICATE_MODALITY, detail, image=second)


def _is_scaled(one: NDArray[Any], other: NDArray[Any], inside: BoolMap) -> bool:
    """Whether a straight line through their voxels explains one image by the other; first by a sample."""
    enough = False
    for part in (_SPARSE, _WHOLE):
        mask = inside[part]
        enough = bool(np.count_nonzero(mask) >= _MIN_VOXELS)
        if enough and not _are_proportional(one[part][mask], other[part][mask]):
            return False
    return enough


def _are_proportional(one: NDArray[Any], other: NDArray[Any]) -> bool:
    with np.errstate(all="ignore"):  # an image may be constant here
        correlation = np.corrcoef(one, other, dtype=np.float64)[0, 1]
    return bool(correlation > 0 and 1 - correlation**2 < _UNEXPLAINED)
