"""Hashes by which the same image is found again under another id."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.checks.subject import Subject

_MIN_IMAGE_VOXELS = 10_000
_MIN_LABEL_VOXELS = 200
_DIGEST_BYTES = 20


def image_digests(subject: Subject) -> dict[str, str]:
    """A hash of each modality's voxels.

    Compression, number type, order of the axes and the empty space around the head change nothing in it.
    """
    return {
        name: _digest(image)
        for name, image in subject.native.images.items()
        if int(subject.foreground[name].sum()) >= _MIN_IMAGE_VOXELS
    }


def label_digest(subject: Subject) -> str | None:
    """The same of the label, wherever it lies; None where it marks too little to be one of a kind."""
    reference = subject.native.reference
    if reference is None or int((reference != 0).sum()) < _MIN_LABEL_VOXELS:
        return None
    return _digest(reference)


def _digest(array: NDArray[Any]) -> str:
    nonzero = array != 0
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(nonzero.any(axis=others))
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    content = np.ascontiguousarray(array[tuple(box)], dtype=np.float32)
    digest = hashlib.blake2b(repr(content.shape).encode(), digest_size=_DIGEST_BYTES)
    digest.update(content)
    return digest.hexdigest()
