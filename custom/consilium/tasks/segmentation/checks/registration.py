"""Check of a case's registration, by the agreement of its images' edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from scipy import fft, ndimage

from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.view import CaseView, FloatMap
from consilium.tasks.segmentation.codes import VolumeCode

_DEGREES = (-10.0, -5.0, 5.0, 10.0)
_FLIPS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (2,), (0, 1))
_NAMES = {0: "left-right", 1: "front-back", 2: "upside down"}


def check_registration(view: CaseView) -> Iterator[Finding]:
    """Compare the edges of each image with those of the others: as they are, moved, mirrored and turned."""
    limits = view.traits.registration
    if limits is None or not view.measurable or len(view.inputs) < 2:
        return
    edges = view.edges
    for name, own in edges.items():
        others = [other for key, other in edges.items() if key != name]
        agreement = view.edge_agreement[name]
        if agreement > limits.sure_agreement:
            continue
        reference = cast(FloatMap, np.mean([other / other.std() for other in others], axis=0))
        how, gain = _better(own, reference, view.coarse_mm)
        if gain > limits.gain:
            certain = agreement < limits.certain_agreement and gain > limits.certain_gain
            yield view.finding(
                VolumeCode.NOT_REGISTERED,
                f"{name} fits the other images better {how}.",
                image=name,
                confidence=min(1.0, 0.5 + gain / 0.4),
                overwhelming=certain and view.whole,
            )
        elif agreement < limits.agreement:
            yield view.finding(
                VolumeCode.NOT_REGISTERED,
                f"Edges of {name} agree with those of the other images by {agreement:.2f} only.",
                image=name,
                confidence=min(1.0, 0.5 + (limits.agreement - agreement) / 0.4),
            )


def _better(own: FloatMap, reference: FloatMap, voxel_mm: tuple[float, float, float]) -> tuple[str, float]:
    """The transformation that brings an image's edges closest to the reference, and what it gains."""
    before = _correlation(own, reference)
    best, gain = "as it is", 0.0
    for flip in _FLIPS:
        score, shift = _best_shift(np.flip(own, flip), reference)
        millimeters = float(np.linalg.norm(np.multiply(shift, voxel_mm)))
        if score - before > gain and (flip or max(abs(step) for step in shift) > 0):
            gain = score - before
            axes = " and ".join(_NAMES[axis] for axis in flip)
            best = f"mirrored {axes}" if flip else f"moved by {millimeters:.0f} mm"
    for plane in ((0, 1), (0, 2), (1, 2)):
        for degrees in _DEGREES:
            turned = ndimage.rotate(own, degrees, plane, reshape=False, order=1)
            score = _correlation(turned, reference)
            if score - before > gain:
                best, gain = f"turned by {abs(degrees):.0f} degrees", score - before
    return best, gain


def _best_shift(own: FloatMap, reference: FloatMap) -> tuple[float, tuple[int, ...]]:
    """The largest correlation over all shifts, and the shift in voxels (the search is circular)."""
    shape = [fft.next_fast_len(size + 8, real=True) for size in own.shape]
    a, b = (own - own.mean()) / own.std(), (reference - reference.mean()) / reference.std()
    product = fft.rfftn(b, shape) * np.conj(fft.rfftn(a, shape))
    correlation = fft.irfftn(product, shape) / own.size
    place = np.unravel_index(int(correlation.argmax()), correlation.shape)
    shift = tuple(int(i) if i <= size // 2 else int(i) - size for i, size in zip(place, shape, strict=True))
    return float(correlation.max()), shift


def _correlation(first: FloatMap, second: FloatMap) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
