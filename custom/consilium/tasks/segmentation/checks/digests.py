"""Hashes to find copies of an image under another id."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.tasks.segmentation.checks.view import BoolMap, CaseView
from consilium.tasks.segmentation.foreground import extents

_MIN_IMAGE_VOXELS = 10_000
_MIN_LABEL_VOXELS = 200
_DIGEST_BYTES = 20


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
    """The same of the label, wherever it lies; None where it marks too little to be one of a kind."""
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
