"""Resections: the cavity that an operation leaves, its scar, and what remains of the tumor."""

from dataclasses import replace
from typing import Final, cast

import numpy as np
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.head import Head, Point
from consilium.tasks.brain_tumor.synthetic.healthy_signs import HealthySigns
from consilium.tasks.brain_tumor.synthetic.masks import largest_part, soften
from consilium.tasks.brain_tumor.synthetic.noise import BoolMap, FloatMap, smooth_noise
from consilium.tasks.brain_tumor.synthetic.tumor import Label, Tumor

# From most of the core, as after a partial resection, to nearly all that could be seen of it.
_REMOVED: Final = (0.6, 0.98)
_ACCESS_RADIUS_MM: Final = (4.0, 9.0)
_SCAR_MM: Final = (1.0, 2.0)
_GLIOSIS_MM: Final = (2.0, 6.0)
# Share of the fluid that has more protein than CSF, so that FLAIR does not suppress all of it.
_PROTEIN: Final = (0.0, 0.15)


def resect(
    head: Head, tumor: Tumor, healthy: HealthySigns, rng: np.random.Generator
) -> tuple[Head, Tumor, HealthySigns]:
    """Operate on a tumor: most of its core becomes a cavity filled with fluid; its deep part is left.

    Surgeons reach a tumor from the surface, so the cavity opens there and the residual tumor lies behind it.
    Around the cavity are a thin, broken line of scar that takes up contrast agent, and gliosis. Labels follow
    BraTS 2024, post-treatment (de Verdier et al., arXiv:2405.18368), as far as `Label` has them: gliosis
    counts as edema, thin linear enhancement is no enhancing tumor, and the cavity, a region of its own
    there, is background.

    Args:
        head: The anatomy, `(X, Y, Z)`.
        tumor: Its tumor, not operated on.
        healthy: Its bright structures.
        rng: The source of randomness.

    Returns:
        Head, tumor and bright structures after the operation.
    """
    cavity = _cavity(head, tumor, rng)
    distance_mm = ndimage.distance_transform_edt(~cavity, sampling=head.spacing_mm).astype(np.float32)
    around = head.cerebrum & ~cavity & ~_core(tumor)
    scar = _scar(head, distance_mm, rng) * around
    uneven = smooth_noise(rng, head.brain.shape, width_mm=8, spacing_mm=head.spacing_mm)
    width_mm = rng.uniform(*_GLIOSIS_MM) * np.exp(0.4 * uneven)
    gliosis = around & (distance_mm <= width_mm) & (head.csf < 0.4)

    label = tumor.label.copy()
    label[gliosis] = Label.EDEMA
    label[cavity] = Label.BACKGROUND
    fluid = soften(cavity)
    kept = 1 - fluid
    water = np.maximum(tumor.edema, rng.uniform(0.45, 0.8) * soften(gliosis))
    operated = Tumor(
        label=label,
        necrosis=tumor.necrosis * kept + np.float32(rng.uniform(*_PROTEIN)) * fluid,
        solid=tumor.solid * kept,
        enhancing=np.maximum(tumor.enhancing, scar) * kept,
        edema=water * kept,
    )
    emptied = replace(head, gray=head.gray * kept, white=head.white * kept, csf=head.csf * kept + fluid)
    signs = {name: share * kept for name, share in vars(healthy).items()}
    return emptied, operated, HealthySigns(**signs)


def _core(tumor: Tumor) -> BoolMap:
    return cast("BoolMap", (tumor.label == Label.NECROTIC_CORE) | (tumor.label == Label.ENHANCING))


def _cavity(head: Head, tumor: Tumor, rng: np.random.Generator) -> BoolMap:
    """The part of the core that is nearest to the brain's surface, and the way to it."""
    core = _core(tumor)
    depth_mm, surface = ndimage.distance_transform_edt(
        np.pad(head.brain, 1), sampling=head.spacing_mm, return_indices=True
    )
    inner = (slice(1, -1),) * 3
    rank = depth_mm[inner] + 3 * smooth_noise(rng, core.shape, width_mm=8, spacing_mm=head.spacing_mm)
    removed = core & (rank <= np.quantile(rank[core], rng.uniform(*_REMOVED)))
    voxels = np.argwhere(removed)
    start = voxels[np.argmin(np.sum((voxels - voxels.mean(axis=0)) ** 2, axis=1))]
    end = surface[(slice(None), *(start + 1))].astype(np.float64) - 1
    access = _tube(core.shape, start, end, rng.uniform(*_ACCESS_RADIUS_MM) / head.spacing_mm, rng)
    smooth = ndimage.gaussian_filter((removed | access).astype(np.float32), 0.8)
    return largest_part((smooth > 0.5) & head.cerebrum)


def _tube(
    shape: tuple[int, ...], start: Point, end: Point, radius: float, rng: np.random.Generator
) -> BoolMap:
    """A straight passage between two voxels, with an uneven wall; the radius is in voxels."""
    offset = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")) - start.reshape(3, 1, 1, 1)
    way = end - start
    along = np.clip(np.einsum("i,ixyz->xyz", way, offset) / max(float(way @ way), 1.0), 0, 1)
    distance = np.sqrt(np.sum((offset - way.reshape(3, 1, 1, 1) * along) ** 2, axis=0))
    uneven = smooth_noise(rng, cast("tuple[int, int, int]", shape), width_mm=max(radius, 1.0), spacing_mm=1.0)
    return cast("BoolMap", distance <= radius * np.exp(0.2 * uneven))


def _scar(head: Head, distance_mm: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Share of scar: a line around the cavity that is faint or missing in places."""
    within = (rng.uniform(*_SCAR_MM) + head.spacing_mm - distance_mm) / head.spacing_mm
    patches = smooth_noise(rng, head.brain.shape, width_mm=7, spacing_mm=head.spacing_mm)
    strength = rng.uniform(0.3, 0.9) * np.clip(0.7 + 0.6 * patches, 0, 1)
    return cast("FloatMap", (strength * np.clip(within, 0, 1)).astype(np.float32))
