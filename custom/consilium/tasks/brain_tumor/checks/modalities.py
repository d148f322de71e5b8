"""Check of the images' modalities: misnamed or swapped images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from consilium.data.finding import Finding
from consilium.tasks.brain_tumor.checks.brain import BrainView
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.segmentation.checks.view import BoolMap, FloatMap

_FOUR = ("t1", "t1ce", "t2", "flair")
_RIM_VOXELS = 2
"""Coarse voxels at the brain's outline, dark in every image, that are left out."""
_MIN_INNER_VOXELS = 2000
_MIN_ENHANCING_VOXELS = 15
_QUARTILE_LIMIT = 6.0
_FINE_VOXELS = 4.0
_FLUID_SHARE = 0.02
_NO_FLUID = 1.0

_FLUID = 3.5
"""By how many interquartile ranges CSF is brighter in T2 than in every other image: 5.9 or more in the two
whole real patients, 3.8 or more in slabs of the three. No other image was above 3.7."""
_FLUID_MARGIN = 1.5
_SURE_FLUID, _SURE_FLUID_MARGIN = 5.0, 3.0
"""Overwhelming: another image shows CSF as clearly as T2 did in the whole real patients."""
_FLAIR_MARGIN = 0.25
"""By how much more FLAIR is like T2 in gray and white matter than T1 and T1ce are: 0.4 or more there."""
_UPTAKE_SKEW = 1.0
"""Skewness of T1ce minus T1, which vessels and plexus make: 1.0 to 4.4 there."""
_UPTAKE = 0.5
"""By how many interquartile ranges tumor labeled enhancing is brighter in T1ce than in T1: 1.3 or more."""


def check_order(view: BrainView) -> Iterator[Finding]:
    """Whether the four images show what MR contrast does to fluid, gray and white matter, and vessels.

    CSF is bright in T2 and dark in the other three. Apart from it, gray matter is brighter than white in T2
    and FLAIR, and darker in T1 and T1ce. What takes up contrast agent, vessels at least, is bright in T1ce.
    Where no CSF is seen nothing is said, and of a slab only what is as clear as in a whole brain.
    """
    if set(view.inputs) != set(_FOUR) or not view.measurable:
        return
    looks = _look(view)
    if looks is None:
        return
    slab = not view.whole
    fluid_elsewhere = looks.names["t2"] != "t2"
    if slab and not (fluid_elsewhere and looks.sure_of_fluid):
        return
    moved = [f"{name} looks like {actual}" for name, actual in looks.names.items() if name != actual]
    if moved:
        yield view.finding(
            BrainCode.SWAPPED_MODALITIES,
            f"{'; '.join(moved)}.",
            confidence=looks.confidence,
            overwhelming=fluid_elsewhere and looks.sure_of_fluid and not slab,
        )


@dataclass(frozen=True)
class _Appearance:
    """Appearance of the images.

    Args:
        names: Stated modality to the one that the image looks like.
        confidence: How sure the least sure of the names is that differ.
        sure_of_fluid: Whether the one that looks like T2 can hardly be anything else.
    """

    names: Mapping[str, str]
    confidence: float
    sure_of_fluid: bool


def _look(view: BrainView) -> _Appearance | None:
    """Name the images by what they show, as stated where that isn't clear; None without clear CSF."""
    inner = ndimage.binary_erosion(view.inside, iterations=_RIM_VOXELS)
    inner &= ~ndimage.binary_dilation(view.marked)
    if np.count_nonzero(inner) < _MIN_INNER_VOXELS:
        return None
    images = {name: _in_quartiles(view.images[name], inner) for name in _FOUR}
    values = {name: image[inner] for name, image in images.items()}
    above = {
        name: values[name] - np.max([values[other] for other in _FOUR if other != name], axis=0)
        for name in _FOUR
    }
    fluid = {name: _top_mean(one) for name, one in above.items()}
    t2, fluid_margin = _clearest(fluid)
    if fluid[t2] < _FLUID or fluid_margin < _FLUID_MARGIN:
        return None
    rest = [name for name in _FOUR if name != t2]
    fine = {name: _fine_contrast(image, inner)[above[t2] < _NO_FLUID] for name, image in images.items()}
    flair, flair_margin = _clearest({name: float(np.corrcoef(fine[name], fine[t2])[0, 1]) for name in rest})
    if flair_margin < _FLAIR_MARGIN:
        flair = "flair" if t2 != "flair" else "t2"
    first, second = (name for name in rest if name != flair)
    if first in ("t1ce", "flair") or second == "t1":  # what is named T1, or nearest to it, comes first
        first, second = second, first
    uptake = float(stats.skew(fine[second] - fine[first])) / _UPTAKE_SKEW
    t1, t1ce = (second, first) if _is_exchanged(view, images, first, second, uptake) else (first, second)
    names = {t1: "t1", t1ce: "t1ce", t2: "t2", flair: "flair"}
    margins = {"t2": fluid_margin / _FLUID_MARGIN, "flair": flair_margin / _FLAIR_MARGIN}
    margins["t1"] = margins["t1ce"] = abs(uptake)
    least = min((margins[actual] for name, actual in names.items() if name != actual), default=0.0)
    return _Appearance(
        {name: names[name] for name in _FOUR},
        confidence=1 - 0.5 ** max(least, 0.0),
        sure_of_fluid=fluid[t2] > _SURE_FLUID and fluid_margin > _SURE_FLUID_MARGIN,
    )


def _is_exchanged(view: BrainView, images: Mapping[str, FloatMap], t1: str, t1ce: str, uptake: float) -> bool:
    """Whether what is taken for T1 is T1ce: vessels or labeled enhancing tumor say so, neither denies it."""
    signs = [uptake]
    if view.tissues:
        enhancing: BoolMap = view.inside & (view.tissues[Tissue.ENHANCING] > 0.5)
        if np.count_nonzero(enhancing) > _MIN_ENHANCING_VOXELS:
            signs.append(float(np.median((images[t1ce] - images[t1])[enhancing])) / _UPTAKE)
    return min(signs) < -1 and max(signs) < 1


def _clearest(scores: Mapping[str, float]) -> tuple[str, float]:
    """The name with the largest score, and by how much."""
    first, second = sorted(scores, key=lambda name: scores[name], reverse=True)[:2]
    return first, scores[first] - scores[second]


def _in_quartiles(image: FloatMap, inner: BoolMap) -> FloatMap:
    """An image in interquartile ranges from its median in a mask."""
    low, middle, high = np.percentile(image[inner], [25, 50, 75])
    scaled = (image - middle) / max(high - low, np.finfo(np.float32).tiny)
    return cast(FloatMap, np.clip(scaled, -_QUARTILE_LIMIT, _QUARTILE_LIMIT).astype(np.float32))


def _top_mean(values: NDArray[np.float32]) -> float:
    """Mean of the largest values."""
    count = max(1, round(_FLUID_SHARE * values.size))
    return float(np.partition(values, -count)[-count:].mean())


def _fine_contrast(image: FloatMap, inner: BoolMap) -> NDArray[np.float32]:
    """An image in a mask without what changes slowly, the coil's bias above all."""
    masked = np.where(inner, image, 0)
    weight = ndimage.gaussian_filter(inner.astype(np.float32), _FINE_VOXELS)
    smooth = ndimage.gaussian_filter(masked, _FINE_VOXELS)[inner] / weight[inner]
    return cast(NDArray[np.float32], masked[inner] - smooth)
