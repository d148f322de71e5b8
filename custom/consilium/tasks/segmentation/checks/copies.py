"""Copies of an image: under another name in its case, or under another case's id."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.view import BoolMap, CaseView
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.preparation.foreground import extents

_MIN_IMAGE_VOXELS = 10_000
_MIN_LABEL_VOXELS = 200
_DIGEST_BYTES = 20
_MIN_COMMON_VOXELS = 100
_SPARSE = (slice(None, None, 8),) * 3
_WHOLE = (slice(None),) * 3
_UNEXPLAINED = 2e-3
"""Share of an image's variance that another one leaves open when it is scaled and shifted to fit. Three real
patients: a copy in 256 gray levels leaves 1.5e-4 at most, two contrasts of one patient 0.2 at least."""


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
        enough = bool(np.count_nonzero(mask) >= _MIN_COMMON_VOXELS)
        if enough and not _are_proportional(one[part][mask], other[part][mask]):
            return False
    return enough


def _are_proportional(one: NDArray[Any], other: NDArray[Any]) -> bool:
    with np.errstate(all="ignore"):  # an image may be constant here
        correlation = np.corrcoef(one, other, dtype=np.float64)[0, 1]
    return bool(correlation > 0 and 1 - correlation**2 < _UNEXPLAINED)


def image_digests(view: CaseView) -> dict[str, str]:
    """Hash each modality's voxels, every other one along each axis: enough to distinguish two images.

    Compression, number type, order of the axes and the empty space around the anatomy change nothing in it.
    """
    return {
        name: _digest(image, view.foreground[name], step=2)
        for name, image in view.native.images.items()
        if np.count_nonzero(view.foreground[name]) >= _MIN_IMAGE_VOXELS
    }


def label_digest(view: CaseView) -> str | None:
    """The same of the label, wherever it is; None where it marks too little to be one of a kind."""
    reference = view.native.reference
    if reference is None:
        return None
    marked = reference != 0
    return _digest(reference, marked) if np.count_nonzero(marked) >= _MIN_LABEL_VOXELS else None


def _digest(array: NDArray[Any], nonzero: BoolMap, *, step: int = 1) -> str:
    box = tuple(slice(first, last + 1, step) for first, last in extents(nonzero))
    content = np.ascontiguousarray(array[box], dtype=np.float32)
    digest = hashlib.blake2b(repr(content.shape).encode(), digest_size=_DIGEST_BYTES)
    digest.update(content)
    return digest.hexdigest()
