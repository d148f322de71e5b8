"""Individual heads, deformed from the average head."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.atlas import Atlas, bounding_box
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.noise import (
    BoolMap,
    FloatMap,
    smooth_noise,
    spline_field,
    spline_knots,
)

Point = npt.NDArray[np.float64]
"""A position `(3,)` in mm, axes toward right, anterior and superior."""


@dataclass(frozen=True)
class Mass:
    """A growing lesion that pushes its surroundings aside.

    Args:
        seat_mm: Where it sits, in MNI space.
        radius_mm: Radius of the ball of its volume.
    """

    seat_mm: Point
    radius_mm: float


@dataclass(frozen=True)
class Head:
    """One patient's anatomy, cut to the box that the brain fills. All maps are `(X, Y, Z)`.

    Args:
        gray: Share of gray matter; the three shares add up to 1 in the brain and are 0 outside.
        white: Share of white matter.
        csf: Share of cerebrospinal fluid.
        brain: The skull-stripped brain.
        cerebrum: Tissue above the tentorium, the membrane that keeps gliomas of the cerebrum out of the
            cerebellum.
        position_mm: Where each voxel lies in the average head, `(3, X, Y, Z)` in MNI space, so that what
            belongs to a place of the anatomy follows this patient's shape and the push of the mass.
        center_mm: Where the mass sits, in mm from the first voxel of the box.
        spacing_mm: Size of a voxel.
        box: The place of the maps in the stored grid.
    """

    gray: FloatMap
    white: FloatMap
    csf: FloatMap
    brain: BoolMap
    cerebrum: BoolMap
    position_mm: FloatMap
    center_mm: Point
    spacing_mm: float
    box: tuple[slice, slice, slice]

    @property
    def side_mm(self) -> FloatMap:
        """Signed distance from the mid-sagittal plane of this patient's anatomy, mass effect included."""
        return cast("FloatMap", self.position_mm[0])


def grow_head(atlas: Atlas, grid: VoxelGrid, mass: Mass, rng: np.random.Generator) -> Head:
    """Bend the average head into one patient's.

    The patient differs by posture and size (an affine map, in half of them mirrored), by shape (a smooth
    displacement), by the width of the ventricles, by the course of the sulci and by the push of the mass.

    Args:
        atlas: The average head.
        grid: The grid to fill; a brain larger than it is cut off, as at the neck of a real scan.
        mass: What grows in it.
        rng: The source of randomness.
    """
    knot = _KNOT_MM / grid.spacing_mm
    world = _lattice(grid, knot)
    matrix, shift = _random_posture(rng)
    bend = [smooth_noise(rng, world.shape[1:], width_mm=30, spacing_mm=_KNOT_MM) for _ in range(3)]
    lattice = _transform(matrix, world) + np.float32(2.2) * np.stack(bend) + _column(shift)
    lattice += _ventricle_stretch(lattice, rng.normal(0.0, 0.14))
    seat = _nearest(lattice, mass.seat_mm)
    push = _mass_effect(world - _column(world[(slice(None), *seat)]), mass.radius_mm)
    lattice -= _transform(matrix, push * _tissue_mobility(atlas.sample(atlas.brain, lattice)))
    position = np.stack([spline_field(axis, grid.shape, knot) for axis in lattice])

    box = _brain_box(atlas, position)
    position = np.ascontiguousarray(position[(slice(None), *box)])
    brain = atlas.sample(atlas.brain, position) > 0.5
    gray, white, csf = _individual_tissue(atlas, position, brain, grid.spacing_mm, rng)
    first = np.array([side.start for side in box])
    return Head(
        gray=gray,
        white=white,
        csf=csf,
        brain=brain,
        cerebrum=brain & _above_tentorium(position),
        position_mm=position,
        center_mm=((np.array(seat) - 1) * knot - first) * grid.spacing_mm,
        spacing_mm=grid.spacing_mm,
        box=box,
    )


# Smooth deformations are computed on a lattice this coarse, for speed.
_KNOT_MM = 5.0
# Middle of the MNI152 brain: what comes to lie in the middle of the stored grid.
_CENTER_MM = np.array([0.0, -18.0, 7.0], dtype=np.float32)
_VENTRICLES_MM = np.array([0.0, -12.0, 14.0], dtype=np.float32)
_VENTRICLES_REACH_MM = np.array([22.0, 36.0, 22.0], dtype=np.float32)


def _column(vector: FloatMap) -> FloatMap:
    """A vector `(3,)`, shaped to be added to a field `(3, X, Y, Z)`."""
    return vector.reshape(3, 1, 1, 1)


def _lattice(grid: VoxelGrid, knot: float) -> FloatMap:
    """MNI positions `(3, X, Y, Z)` of the knots of a grid that is centered on the brain."""
    axes = [
        ((np.arange(spline_knots(size, knot)) - 1) * knot - (size - 1) / 2) * grid.spacing_mm + center
        for size, center in zip(grid.shape, _CENTER_MM, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _random_posture(rng: np.random.Generator) -> tuple[FloatMap, FloatMap]:
    """An affine map from the patient to MNI: a `(3, 3)` matrix about the brain's middle and a shift in mm."""
    pitch, roll, yaw = rng.normal(0, np.deg2rad(3.0), 3)
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    turn_y = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0], [-np.sin(roll), 0, np.cos(roll)]])
    turn_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    # MNI152's brain of 1.9 l is larger than almost any; this brings the mean to 1.5 l.
    scale = 1 / np.clip(rng.normal(0.93, 0.035, 3), 0.85, 1.01)
    mirror = np.array([rng.choice([-1.0, 1.0]), 1, 1])
    matrix = np.diag(mirror * scale) @ turn_x @ turn_y @ turn_z
    return matrix.astype(np.float32), rng.normal(0, 2.0, 3).astype(np.float32)


def _transform(matrix: FloatMap, vectors: FloatMap) -> FloatMap:
    """Apply a `(3, 3)` matrix about the brain's middle to positions or displacements `(3, X, Y, Z)`."""
    return cast("FloatMap", np.einsum("ij,jxyz->ixyz", matrix, vectors))


def _ventricle_stretch(position: FloatMap, widening: float) -> FloatMap:
    """Displacement that widens (positive) or narrows the ventricles and dies out toward the cortex."""
    offset = position - _column(_VENTRICLES_MM)
    reach = np.exp(-np.sum((offset / _column(_VENTRICLES_REACH_MM)) ** 2, axis=0))
    return cast("FloatMap", -np.float32(widening) * reach * offset)


def _nearest(position: FloatMap, target: Point) -> tuple[int, int, int]:
    """Index of the MNI position that is nearest to `target`."""
    distance = np.sum((position - _column(target.astype(np.float32))) ** 2, axis=0)
    x, y, z = np.unravel_index(np.argmin(distance), distance.shape)
    return int(x), int(y), int(z)


def _mass_effect(offset: FloatMap, radius: float) -> FloatMap:
    """How far, in mm, tissue found at `offset` from the mass was pushed outward: most at its edge.

    The factor stays below 1/e, where neighboring points would change places.
    """
    distance = np.sqrt(np.sum(offset**2, axis=0))
    return cast("FloatMap", 0.26 * np.exp(1 - distance / np.float32(radius)) * offset)


def _tissue_mobility(inside: FloatMap) -> FloatMap:
    """How far tissue can move: not at all at the skull, freely 15 mm beneath it."""
    depth = ndimage.gaussian_filter(inside, 10 / _KNOT_MM)
    return cast("FloatMap", np.clip(2.5 * (depth - 0.55), 0, 1))


def _individual_tissue(
    atlas: Atlas, position: FloatMap, brain: BoolMap, spacing: float, rng: np.random.Generator
) -> tuple[FloatMap, FloatMap, FloatMap]:
    """Gray, white and CSF shares of one patient.

    The atlas averages 152 heads, so its sulci are blurred away. Each patient gets new ones: thin sheets of
    CSF, lined by cortex, with white matter in the blades between them. They and a fine preference decide
    where the average hesitates; deep structures, on which all heads agree, stay where they are.
    """
    gray, white = np.zeros(brain.shape, np.float32), np.zeros(brain.shape, np.float32)
    gray[brain] = atlas.sample(atlas.gray, position[:, brain])
    white[brain] = atlas.sample(atlas.white, position[:, brain])
    csf = np.clip(brain - gray - white, 0, 1)
    fold = np.abs(smooth_noise(rng, brain.shape, width_mm=5.5, spacing_mm=spacing))
    # Half at the surface and 1 in the depth: sulci reach about 15 mm.
    depth = ndimage.gaussian_filter(brain.astype(np.float32), 8 / spacing)
    cortex = np.clip((0.97 - depth) / 0.25, 0, 1) * np.clip(2 * (gray + csf) - 0.3, 0, 1)
    sulcus = cortex * np.exp(-((fold / 0.2) ** 2))
    blade = cortex * np.clip(fold - 0.55, -0.5, 0.6)
    preference = smooth_noise(rng, brain.shape, width_mm=3.2, spacing_mm=spacing)
    weights = [
        np.clip(gray, 1e-3, 1) ** 2,
        np.clip(white, 1e-3, 1) ** 2 * np.exp(0.6 * preference + 4.0 * blade),
        np.clip(csf + sulcus, 1e-3, 2) ** 2 * np.exp(-0.8 * preference),
    ]
    total = np.where(brain, sum(weights), np.inf)
    gray, white, csf = (weight / total for weight in weights)
    return gray, white, csf


def _above_tentorium(position: FloatMap) -> BoolMap:
    """Where MNI positions `(3, X, Y, Z)` are in the cerebrum: not below the tentorium or in the brainstem.

    The tentorium is a tent: highest at the midline, falling off to both sides and to the back.
    """
    x, y, z = np.abs(position[0]), position[1], position[2]
    tent = -2 - 0.5 * x - 0.2 * np.clip(-50 - y, 0, None)
    cerebellum = (y < -34) & (z < tent)
    brainstem = (x < 16) & (y < -8) & (z < -8)
    return cast("BoolMap", ~(cerebellum | brainstem))


def _brain_box(atlas: Atlas, position: FloatMap) -> tuple[slice, slice, slice]:
    """The part of the grid that the brain fills, found on every other voxel."""
    rough = bounding_box(atlas.sample(atlas.brain, position[:, ::2, ::2, ::2]) > 0.5, margin=1)
    first, second, third = (slice(2 * side.start, 2 * side.stop) for side in rough)
    return first, second, third
