"""Check of a label's position on the tumor in the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from consilium.data.finding import Finding
from consilium.tasks.brain_tumor.checks.brain import (
    MIN_TUMOR_VOXELS,
    BrainView,
    shell_of,
    tumor_contrast,
)
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.segmentation.checks.view import BoolMap, FloatMap

_OUTSIDE_SHARE = 0.05
_SURE_OUTSIDE_SHARE = 0.5
"""Overwhelming: most of the label is where there is nothing."""
_BRIGHT = ("flair", "t2")
_MIN_TISSUE_VOXELS = 20
_FAIR_CONTRAST = 1.0
"""Contrast of tumor to its surroundings, in interquartile ranges of FLAIR plus T2, below which a label marks
nothing bright; 1.8 or more on 80 healthy synthetic patients of four scanners, 3.1 or more on three real."""
_SHIFT_GAIN = 0.2
"""No place 5 mm or more away was better than the label's own in any of those patients."""
_MIN_SHIFT_MM = 5.0
_MIRROR_GAIN = 0.25
"""A mirrored label was worse by 0.26 or more in 149 healthy synthetic and three real patients."""
_CLEAR_CONTRAST = 1.8
_INSIDE_SHARE = 0.8
_LEFT_RIGHT = (0,)
_SURE_MIRRORED = 2.5
"""Overwhelming in a whole brain: a label that marks nothing bright has this contrast when left and right are
exchanged. Correct labels of three real patients had contrasts of 3.1 to 4.9; mirrored ones 0.5 at most, and
2.9 or more on the other side."""
_FLIPS: tuple[tuple[int, ...], ...] = ((0,), (1,), (2,), (0, 1))
_FLIP_REACH = 4
_NAMES = {0: "left-right", 1: "front-back", 2: "upside down"}
_DEPTH_MARGIN_MM = 1.0
_ENHANCEMENT_MARGIN = 0.5
_MIN_UPTAKE = 0.25
"""Uptake of contrast agent, in interquartile ranges above the brain without tumor, below which nothing
enhances: 1.1 or more where tumor enhances in those patients, at most 0.6 in edema."""
_MERGED_UPTAKE = 1.5
"""Uptake that a tenth of core or edema exceeds only where enhancing tumor is labeled as it: 2.0 or more then
in two real patients, 1.0 or less in what doesn't enhance of three."""
_CALLED = {Tissue.NECROTIC_CORE: "core", Tissue.EDEMA: "edema"}


def check_inside(view: BrainView) -> Iterator[Finding]:
    """Find labels outside the brain."""
    reference = view.native.reference
    marked = reference != 0 if reference is not None else np.zeros(0, dtype=bool)
    count = np.count_nonzero(marked)
    if not count:
        return
    outside = np.count_nonzero(marked & ~view.anatomy) / count
    if outside > _OUTSIDE_SHARE:
        yield view.finding(
            BrainCode.LABEL_OUTSIDE_BRAIN,
            f"{outside:.0%} of the label lie where every image is 0.",
            overwhelming=bool(outside > _SURE_OUTSIDE_SHARE),
        )


def check_placement(view: BrainView) -> Iterator[Finding]:
    """Compare the label's contrast in FLAIR and T2 where it is with all places where it might belong."""
    trial = _Trial.of(view)
    if trial is None:
        return
    contrast = trial.search(())
    own = float(contrast[0, 0, 0])
    best = float(contrast.max())
    shift = trial.shift_mm(int(contrast.argmax()), contrast.shape)
    moved = best if shift >= _MIN_SHIFT_MM else own
    flip, mirrored = max(((flip, trial.mirrored(flip)) for flip in _FLIPS), key=lambda found: found[1])
    if mirrored - own > _MIRROR_GAIN and mirrored > max(_FAIR_CONTRAST, moved - _MIRROR_GAIN):
        axes = " and ".join(_NAMES[axis] for axis in flip)
        yield view.finding(
            BrainCode.LABEL_MIRRORED,
            f"Mirrored {axes} its contrast is {mirrored:.1f} instead of {own:.1f}.",
            confidence=_sure(mirrored - own, _MIRROR_GAIN),
            overwhelming=flip == _LEFT_RIGHT
            and own < _FAIR_CONTRAST
            and mirrored > _SURE_MIRRORED
            and view.whole,
        )
    elif moved - own > _SHIFT_GAIN and moved > _CLEAR_CONTRAST:
        detail = f"Moved by {shift:.0f} mm its contrast is {best:.1f} instead of {own:.1f}."
        yield view.finding(BrainCode.LABEL_SHIFTED, detail, confidence=_sure(best - own, _SHIFT_GAIN))
    elif own < _FAIR_CONTRAST:
        detail = f"What it marks is no brighter in FLAIR and T2 than its surroundings (contrast {own:.1f})."
        yield view.finding(BrainCode.LABEL_MISMATCH, detail, confidence=_sure(_FAIR_CONTRAST - own, 0.5))


def check_values(view: BrainView) -> Iterator[Finding]:
    """Whether edema surrounds the core, and whether what is labeled enhancing takes up contrast agent."""
    if _Trial.of(view) is None:
        return
    native = view.tissues
    masks = {tissue: share > 0.5 for tissue, share in native.items()}
    depth = ndimage.distance_transform_edt(np.pad(view.marked, 1), sampling=view.coarse_mm)[1:-1, 1:-1, 1:-1]
    present = {tissue for tissue, mask in masks.items() if int(mask.sum()) >= _MIN_TISSUE_VOXELS}
    if {Tissue.NECROTIC_CORE, Tissue.EDEMA} <= present:
        core, edema = (float(depth[masks[t]].mean()) for t in (Tissue.NECROTIC_CORE, Tissue.EDEMA))
        if edema - core > _DEPTH_MARGIN_MM:
            detail = f"Edema lies {edema - core:.1f} mm deeper in the tumor than its core."
            yield view.finding(
                BrainCode.LABEL_VALUES_SWAPPED, detail, confidence=_sure(edema - core, _DEPTH_MARGIN_MM)
            )
            return
    if Tissue.ENHANCING in present and {"t1", "t1ce"} <= set(view.inputs):
        uptake = view.contrast["t1ce"] - view.contrast["t1"]
        gain = {
            t: float(np.median(uptake[masks[t] & view.inside]))
            for t in present
            if (masks[t] & view.inside).any()
        }
        others = [gain[t] for t in (Tissue.NECROTIC_CORE, Tissue.EDEMA) if t in gain]
        if Tissue.ENHANCING not in gain:
            return
        lack = max(others, default=-np.inf) - gain[Tissue.ENHANCING]
        over = gain[Tissue.ENHANCING] - float(np.median(uptake[view.inside & ~view.marked]))
        if lack > _ENHANCEMENT_MARGIN:
            detail = f"What is labeled enhancing takes up less contrast agent than the rest, by {lack:.1f}."
            yield view.finding(
                BrainCode.LABEL_VALUES_SWAPPED, detail, confidence=_sure(lack, _ENHANCEMENT_MARGIN)
            )
        elif over < _MIN_UPTAKE:
            detail = f"What is labeled enhancing takes up no more contrast agent than the brain ({over:.1f})."
            yield view.finding(
                BrainCode.LABEL_VALUES_SWAPPED, detail, confidence=_sure(1 - over, 1 - _MIN_UPTAKE)
            )
    elif not native[Tissue.ENHANCING].any():
        yield from _check_merged(view, {tissue: masks[tissue] & view.inside for tissue in present})


def _check_merged(view: BrainView, masks: Mapping[Tissue, BoolMap]) -> Iterator[Finding]:
    """Whether a tissue that doesn't enhance holds the enhancing tumor, as where 4 is written as 1."""
    if not {"t1", "t1ce"} <= set(view.inputs):
        return
    uptake = view.contrast["t1ce"] - view.contrast["t1"]
    brain = float(np.median(uptake[view.inside & ~view.marked]))
    for tissue, mask in masks.items():
        if not mask.any():
            continue
        over = float(np.percentile(uptake[mask], 90)) - brain
        if over > _MERGED_UPTAKE:
            detail = (
                f"Nothing is labeled enhancing, and a tenth of what is labeled {_CALLED[tissue]} takes up "
                f"contrast agent as enhancing tumor does ({over:.1f})."
            )
            yield view.finding(BrainCode.LABEL_VALUES_SWAPPED, detail, confidence=_sure(over, _MERGED_UPTAKE))
            return


def label_contrast(view: BrainView) -> float | None:
    """Return how far the labeled tissue stands out in FLAIR and T2; None where that can't be measured."""
    bright = [name for name in _BRIGHT if name in view.inputs]
    return tumor_contrast(view, bright) if bright else None


@dataclass(frozen=True)
class _Trial:
    """Inputs for testing a label at other positions: brightness, brain, and the label with its shell."""

    bright: FloatMap
    brain: BoolMap
    tumor: BoolMap
    shell: BoolMap
    voxel_mm: tuple[float, float, float]
    center_offset: tuple[int, int, int]

    @classmethod
    def of(cls, view: BrainView) -> _Trial | None:
        bright = [view.contrast[name] for name in _BRIGHT if name in view.inputs]
        # The thresholds are of the sum; one image alone, of a case that lacks the other, has half of it.
        bright = [image * (len(_BRIGHT) / len(bright)) for image in bright]
        if not bright or not view.measurable or int(view.marked.sum()) < MIN_TUMOR_VOXELS:
            return None
        tumor = view.marked
        native = view.native
        # Twice the distance, in coarse voxels, from the crop's center to the volume's.
        full = _ras_shape(view)
        x, y, z = (
            round((size - start - stop) / step)
            for size, start, stop, step in zip(
                full, native.crop_start, native.crop_stop, view.stride, strict=True
            )
        )
        summed = cast(FloatMap, np.where(view.inside, np.add.reduce(bright), 0).astype(np.float32))
        return cls(summed, view.inside, tumor, shell_of(tumor), view.coarse_mm, (x, y, z))

    def search(self, flip: tuple[int, ...]) -> NDArray[np.float32]:
        """Contrast of the label, flipped within the crop, at every shift; index 0 is unshifted."""
        tumor, shell = np.flip(self.tumor, flip), np.flip(self.shell, flip)
        shape, bright, brain = self._spectra

        def sums(mask: BoolMap) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            kernel = np.conj(fft.rfftn(mask.astype(np.float32), shape))
            return (
                np.asarray(fft.irfftn(bright * kernel, shape), dtype=np.float32),
                np.asarray(fft.irfftn(brain * kernel, shape), dtype=np.float32),
            )

        inner, inner_count = sums(tumor)
        outer, outer_count = sums(shell)
        contrast = inner / np.maximum(inner_count, 1) - outer / np.maximum(outer_count, 5)
        usable = inner_count > _INSIDE_SHARE * int(tumor.sum())
        usable[0, 0, 0] = True
        return np.where(usable, contrast, -np.inf).astype(np.float32)

    @cached_property
    def _spectra(self) -> tuple[list[int], NDArray[np.complex64], NDArray[np.complex64]]:
        """Padded shape, and brightness and brain transformed."""
        shape = [fft.next_fast_len(size + 16, real=True) for size in self.tumor.shape]
        bright, brain = (fft.rfftn(one.astype(np.float32), shape) for one in (self.bright, self.brain))
        return shape, bright.astype(np.complex64, copy=False), brain.astype(np.complex64, copy=False)

    def mirrored(self, flip: tuple[int, ...]) -> float:
        """The best contrast of the flipped label close to where a flip of the whole volume puts it."""
        contrast = self.search(flip)
        offset = [self.center_offset[axis] if axis in flip else 0 for axis in range(3)]
        reach = range(-_FLIP_REACH, _FLIP_REACH + 1)
        places = np.ix_(
            *((step + np.array(reach)) % size for step, size in zip(offset, contrast.shape, strict=True))
        )
        return float(contrast[places].max())

    def shift_mm(self, index: int, shape: tuple[int, ...]) -> float:
        """Length of the shift at a flat index."""
        steps = (
            int(i) if i <= size // 2 else int(i) - size
            for i, size in zip(np.unravel_index(index, shape), shape, strict=True)
        )
        return float(np.linalg.norm([step * size for step, size in zip(steps, self.voxel_mm, strict=True)]))


def _ras_shape(view: BrainView) -> tuple[int, ...]:
    """Voxels of the whole file along R, A and S."""
    axes = np.argmax(np.abs(view.native.file_affine[:3, :3]), axis=0)
    shape = [0, 0, 0]
    for axis, size in zip(axes, view.native.file_shape, strict=True):
        shape[int(axis)] = size
    return tuple(shape)


def _sure(seen: float, needed: float) -> float:
    """A confidence that is one half at the threshold and goes to one beyond it."""
    return float(1 - 0.5 ** max(seen / needed, 0.0))
