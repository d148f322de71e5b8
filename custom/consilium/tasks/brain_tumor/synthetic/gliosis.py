"""White-matter disease without a tumor: what is bright on FLAIR and T2 in many heads and is no edema."""

from typing import Final, cast

import numpy as np
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.head import Head, Point
from consilium.tasks.brain_tumor.synthetic.noise import BoolMap, FloatMap, smooth_noise
from consilium.tasks.brain_tumor.synthetic.places import Place, both_sides

_CAPS: Final = (
    Place((18.0, 34.0, 4.0), (8.0, 8.0, 10.0)),  # at the frontal horns
    Place((27.0, -54.0, 16.0), (8.0, 10.0, 9.0)),  # behind the trigones, where fibers ripen last
    Place((34.0, -42.0, -4.0), (6.0, 12.0, 6.0)),  # along the temporal horns
)
# Shares of patients with next to no lesions, with those of age, and with those of multiple sclerosis or
# small-vessel disease; the least and the largest number of each.
_BURDENS: Final = ((0.35, (0, 4)), (0.35, (4, 20)), (0.30, (20, 60)))
_RADIUS_MM: Final = (1.2, 9.0)


def grow_gliosis(head: Head, rng: np.random.Generator) -> FloatMap:
    """Share of gliosis per voxel `(X, Y, Z)`, 0 to 1: a rim and caps around the ventricles, and lesions.

    Nearly every adult has the rim and the caps; most have some lesions, and some have many.

    Args:
        head: The anatomy.
        rng: The source of randomness.
    """
    ventricles = _ventricles(head)
    healthy = head.gray + head.white
    rim = _rim(head, ventricles, rng)
    lesions = _lesions(head, ventricles, rng)
    return cast("FloatMap", np.clip(np.maximum(rim * head.white, lesions * healthy), 0, 0.95))


def _ventricles(head: Head) -> BoolMap:
    """CSF of the lateral ventricles, by where it is."""
    x, y, z = np.abs(head.position_mm[0]), head.position_mm[1], head.position_mm[2]
    around = (x < 36) & (y > -60) & (y < 38) & (z > -14) & (z < 36)
    fissure = (x < 3) & ((z > 20) | (z < 0))
    cisterns = ((x < 10) & (y < -28)) | ((z < -2) & (x < 24))
    return cast("BoolMap", (head.csf > 0.5) & around & ~fissure & ~cisterns)


def _rim(head: Head, ventricles: BoolMap, rng: np.random.Generator) -> FloatMap:
    """The halo of the ventricles and its caps, of uneven strength."""
    width = rng.uniform(1.0, 3.0) if rng.random() < 0.75 else rng.uniform(3.0, 6.0)
    near = ndimage.gaussian_filter(ventricles.astype(np.float32), width / head.spacing_mm)
    rim = rng.uniform(0.2, 1.0) * np.clip(2.5 * near, 0, 1)
    for cap in _CAPS:
        strength = rng.uniform(0, 0.8)
        sides = both_sides(head.position_mm, strength, strength * rng.uniform(0.6, 1))
        rim = np.maximum(rim, sides * cap.share(head.position_mm))
    uneven = smooth_noise(rng, head.brain.shape, width_mm=9, spacing_mm=head.spacing_mm)
    return cast("FloatMap", rim * np.clip(0.8 + 0.35 * uneven, 0, 1.2))


def _lesions(head: Head, ventricles: BoolMap, rng: np.random.Generator) -> FloatMap:
    """Round to oval spots, most of them near the ventricles, as many and as large as this patient has."""
    shares = [share for share, _ in _BURDENS]
    fewest, most = _BURDENS[rng.choice(len(_BURDENS), p=shares)][1]
    count, usual = int(rng.integers(fewest, most + 1)), rng.uniform(1.6, 3.2)
    lesions = np.zeros(head.brain.shape, np.float32)
    seats = np.argwhere(head.white > 0.6)
    near = ndimage.gaussian_filter(ventricles.astype(np.float32), 7 / head.spacing_mm)
    odds = np.cumsum(near[tuple(seats.T)] + np.float32(0.02))
    for seat in seats[np.searchsorted(odds, rng.random(count) * odds[-1] * 0.999)]:
        axes = np.clip(usual * np.exp(rng.normal(0, 0.45)) * rng.uniform(0.75, 1.35, 3), *_RADIUS_MM)
        _paint(lesions, seat, axes / head.spacing_mm, float(rng.uniform(0.5, 1.0)))
    return lesions


def _paint(lesions: FloatMap, seat: Point, axes: Point, strength: float) -> None:
    """Add one spot with a soft edge; positions and half axes are in voxels."""
    first = np.maximum(np.floor(seat - axes - 2), 0).astype(int)
    last = np.minimum(np.ceil(seat + axes + 3), lesions.shape).astype(int)
    box = tuple(slice(low, high) for low, high in zip(first, last, strict=True))
    offsets = np.meshgrid(
        *(
            (np.arange(low, high) - middle) / axis
            for low, high, middle, axis in zip(first, last, seat, axes, strict=True)
        ),
        indexing="ij",
        sparse=True,
    )
    distance = np.sqrt(sum(offset**2 for offset in offsets)).astype(np.float32)
    soft = np.clip((1 - distance) * float(axes.mean()) + 0.5, 0, 1)
    np.maximum(lesions[box], strength * soft, out=lesions[box])
