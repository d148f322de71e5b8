"""Simulated gliomas: a lobulated core with an enhancing rim, and edema that follows white matter."""

from dataclasses import dataclass
from enum import IntEnum
from typing import cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.head import Head, Mass, Point
from consilium.tasks.brain_tumor.synthetic.masks import largest_part, soften, without_holes
from consilium.tasks.brain_tumor.synthetic.noise import (
    BoolMap,
    FloatMap,
    smooth_noise,
    spline_field,
    spline_knots,
)

LabelMap = npt.NDArray[np.uint8]
"""A `Label` per voxel, `(X, Y, Z)`."""


class Label(IntEnum):
    """Tissue of a voxel, as numbered in BraTS 2023; the writers convert it to a hospital's convention."""

    BACKGROUND = 0
    NECROTIC_CORE = 1
    EDEMA = 2
    ENHANCING = 3


class TumorMix(BaseModel):
    """Relative frequencies of whole-tumor sizes.

    Args:
        small: 20 to 45 ml.
        medium: 45 to 90 ml.
        large: 90 to 150 ml.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    small: float = Field(default=1.0, ge=0, le=1e6)
    medium: float = Field(default=2.0, ge=0, le=1e6)
    large: float = Field(default=1.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _some_weight(self) -> "TumorMix":
        if self.small + self.medium + self.large <= 0:
            raise ValueError(
                "all three weights are 0; give at least one of small, medium and large a positive one"
            )
        return self


@dataclass(frozen=True)
class TumorPlan:
    """Plan of a tumor, made before the head is deformed, since the mass shapes the head.

    Args:
        seat_mm: Middle of the core in MNI space.
        core_ml: Volume of the core (necrotic, non-enhancing and enhancing parts).
        whole_ml: Volume of core and edema.
        enhancing: False for a low-grade glioma, whose solid core takes up no contrast agent.
    """

    seat_mm: Point
    core_ml: float
    whole_ml: float
    enhancing: bool

    @property
    def mass(self) -> Mass:
        """The push on the surroundings: the core's ball, half of the edema included."""
        volume = self.core_ml + 0.3 * (self.whole_ml - self.core_ml)
        return Mass(self.seat_mm, _ball_radius(volume))


@dataclass(frozen=True)
class Tumor:
    """A grown tumor on the voxels of a head. All maps are `(X, Y, Z)`.

    Args:
        label: The truth.
        necrosis: Share of necrotic tissue, 0 to 1; the four shares are soft at their edges, as voxels mix
            tissues.
        solid: Share of solid tumor without enhancement.
        enhancing: Share of enhancing tumor.
        edema: Share of edematous water in what the core has left of the voxel.
    """

    label: LabelMap
    necrosis: FloatMap
    solid: FloatMap
    enhancing: FloatMap
    edema: FloatMap


_VOLUME_ML = {"small": (20.0, 45.0), "medium": (45.0, 90.0), "large": (90.0, 150.0)}


def plan_tumor(atlas: Atlas, mix: TumorMix, *, enhancing: bool, rng: np.random.Generator) -> TumorPlan:
    """Decide where a tumor grows and how large it becomes.

    Seats lie in the white matter of one hemisphere above the tentorium, where gliomas of adults arise.

    Args:
        atlas: The average head.
        mix: How often each size occurs.
        enhancing: False for a low-grade glioma.
        rng: The source of randomness.
    """
    weights = np.array([mix.small, mix.medium, mix.large])
    size = rng.choice(["small", "medium", "large"], p=weights / weights.sum())
    whole = rng.uniform(*_VOLUME_ML[str(size)])
    # The core of a low-grade glioma is most of what FLAIR shows; a glioblastoma's edema outgrows its core.
    core_share = rng.uniform(0.22, 0.45) if enhancing else rng.uniform(0.5, 0.75)
    seats = 2 * np.argwhere(atlas.white[::2, ::2, ::2] > 0.8) + np.asarray(atlas.origin_mm)
    x, y, z = np.abs(seats[:, 0]), seats[:, 1], seats[:, 2]
    supratentorial = (z > -4) | ((z > -20) & (y > -30) & (x > 34))
    seats = seats[supratentorial & (x > 16) & (x < 50) & (y > -75)]
    return TumorPlan(seats[rng.integers(len(seats))], whole * core_share, whole, enhancing)


def grow_tumor(head: Head, plan: TumorPlan, rng: np.random.Generator) -> Tumor:
    """Grow a tumor in a head that was bent for it.

    Args:
        head: The anatomy, from `grow_head(..., plan.mass)`.
        plan: What is to grow.
        rng: The source of randomness.
    """
    core = _grow_core(head, plan, rng)
    if plan.enhancing:
        rim, necrosis = _rim_and_necrosis(core, head.spacing_mm, rng)
    else:
        rim, necrosis = np.zeros_like(core), np.zeros_like(core)
    solid = core & ~rim & ~necrosis
    edema, water = _grow_edema(head, core, plan, rng)

    label = np.zeros(core.shape, np.uint8)
    label[edema] = Label.EDEMA
    label[core] = Label.NECROTIC_CORE
    label[rim] = Label.ENHANCING
    soft_necrosis, soft_solid, soft_rim = (soften(part) for part in (necrosis, solid, rim))
    return Tumor(label, soft_necrosis, soft_solid, soft_rim, water)


def _ball_radius(volume_ml: float) -> float:
    return float((volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3))


def _grow_core(head: Head, plan: TumorPlan, rng: np.random.Generator) -> BoolMap:
    """The core: a few fused lobes with a bumpy surface that stop at ventricles, brain surface and midline."""
    radius = _ball_radius(plan.core_ml)
    offset = _offset_mm(head)
    reach = np.full(head.brain.shape, np.inf, np.float32)
    for lobe in range(rng.integers(2, 6)):
        middle = np.float32(0.55 * radius if lobe else 0) * rng.standard_normal(3, dtype=np.float32)
        stretch, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        axes = (stretch / rng.uniform(0.8, 1.3, 3)) / (rng.uniform(0.45, 0.85) if lobe else 1.0)
        local = np.einsum("ji,jxyz->ixyz", axes.astype(np.float32), offset - middle.reshape(3, 1, 1, 1))
        np.minimum(reach, np.sqrt(np.sum(local**2, axis=0)), out=reach)
    shape = head.brain.shape
    bumps = 0.20 * smooth_noise(rng, shape, width_mm=10, spacing_mm=head.spacing_mm)
    bumps += 0.06 * smooth_noise(rng, shape, width_mm=5, spacing_mm=head.spacing_mm)
    reach *= np.exp(bumps)
    # Blurred, since a core grows past a sulcus but not into a ventricle.
    barrier = ndimage.gaussian_filter(head.csf, 2.5 / head.spacing_mm)
    beyond = np.clip(1.5 - head.side_mm * np.sign(_at_center(head, head.side_mm)) / 4, 0, 4)
    reach += radius * (1.5 * barrier + 0.8 * beyond)
    reach[~head.cerebrum] = np.inf
    core = _lowest(reach, plan.core_ml, head.spacing_mm)
    core = ndimage.gaussian_filter(core.astype(np.float32), 0.7) > 0.5
    return without_holes(largest_part(core & head.cerebrum))


def _rim_and_necrosis(core: BoolMap, spacing: float, rng: np.random.Generator) -> tuple[BoolMap, BoolMap]:
    """The viable outer shell of the core, of uneven thickness, and what has died behind it.

    Where the shell is interrupted, neither of the two reaches the outside: the tumor there is solid.
    """
    (box,) = ndimage.find_objects(core.astype(np.uint8))
    inner = np.pad(core[box], 1)
    depth = np.zeros(core.shape, np.float32)
    depth[box] = ndimage.distance_transform_edt(inner, sampling=spacing)[1:-1, 1:-1, 1:-1] - spacing / 2
    uneven = smooth_noise(rng, core.shape, width_mm=8, spacing_mm=spacing)
    # Lognormal: nodules where it is thick, a gap where it would be thinnest.
    thickness = (rng.uniform(1.6, 2.8) + 0.8 * (spacing - 1)) * np.exp(0.5 * uneven)
    thickness[thickness < 0.5 + 0.5 * spacing] = 0
    return core & (depth <= thickness), core & (depth > np.maximum(thickness, 2.0))


def _grow_edema(
    head: Head, core: BoolMap, plan: TumorPlan, rng: np.random.Generator
) -> tuple[BoolMap, FloatMap]:
    """Edema around the core: where it is, and how much water it holds, 0 to 1.

    Water diffuses out of the core through tissue that conducts it: white matter well, gray matter and
    CSF badly. The spread is solved on a coarse grid; the tissue of each fine voxel then decides at the
    border, where CSF is left out for good.
    """
    side = np.sign(_at_center(head, head.side_mm))
    same_side = np.clip(0.5 + side * head.side_mm / 4, 0.35, 1).astype(np.float32)
    conduct = (head.white + 0.15 * head.gray) * same_side * head.cerebrum
    stride = max(round(3.5 / head.spacing_mm), 1)
    # A floor, since a front that no tissue lets pass takes the square shape of the blurring kernel.
    spread = _diffuse(core, 0.3 + 0.65 * conduct, stride, sigma=4.0 / (head.spacing_mm * stride))
    texture = smooth_noise(rng, core.shape, width_mm=6, spacing_mm=head.spacing_mm)
    pressure = np.log(spread + 1e-12) + 2.0 * np.log(conduct + 0.05) + 0.5 * texture
    pressure[core | ~head.cerebrum | (head.csf > 0.4)] = -np.inf
    missing_ml = plan.whole_ml - core.sum() * head.spacing_mm**3 / 1000
    edema = _lowest(-pressure, missing_ml, head.spacing_mm)
    smooth = ndimage.gaussian_filter((edema | core).astype(np.float32), 0.8)
    edema = largest_part((smooth > 0.5) & head.cerebrum & (head.csf < 0.4) | core) & ~core
    # Wettest beside the core, where the spread is near 1; at the margin a third of the voxel is edema.
    water = soften(edema | core) * np.clip(0.8 + 0.06 * np.log(spread + 1e-12), 0.35, 0.8)
    return edema, water


def _diffuse(core: BoolMap, conduct: FloatMap, stride: int, sigma: float) -> FloatMap:
    """Steady spread of water from the core, `(X, Y, Z)`, computed on every `stride`-th voxel."""
    coarse = (slice(None, None, stride),) * 3
    source = ndimage.uniform_filter(core.astype(np.float32), stride)[coarse]
    passage = ndimage.uniform_filter(conduct, stride)[coarse]
    spread = source.copy()
    for _ in range(20):
        spread = np.maximum(source, passage * ndimage.gaussian_filter(spread, sigma))
    padding = [
        (1, spline_knots(size, stride) - n - 1) for size, n in zip(core.shape, spread.shape, strict=True)
    ]
    return spline_field(np.pad(spread, padding, mode="edge"), core.shape, stride)


def _offset_mm(head: Head) -> FloatMap:
    """Vectors `(3, X, Y, Z)` from the seat of the mass, in mm."""
    axes = [
        np.arange(size, dtype=np.float32) * head.spacing_mm - center
        for size, center in zip(head.brain.shape, head.center_mm, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _at_center(head: Head, values: FloatMap) -> float:
    x, y, z = np.round(head.center_mm / head.spacing_mm).astype(int)
    return float(values[x, y, z])


def _lowest(values: FloatMap, volume_ml: float, spacing: float) -> BoolMap:
    """The voxels of lowest value that together have the wanted volume; never one of infinite value."""
    finite = values[np.isfinite(values)]
    count = int(np.clip(volume_ml * 1000 / spacing**3, 1, finite.size - 1))
    return cast("BoolMap", values <= np.partition(finite, count)[count])
