"""The average head: MNI152 tissue maps."""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from scipy import ndimage

from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.synthetic.noise import BoolMap, FloatMap


@dataclass(frozen=True)
class Atlas:
    """TissueProperties maps of the average head at 1 mm, each `(X, Y, Z)`.

    Args:
        gray: Share of gray matter, 0 to 1.
        white: Share of white matter.
        brain: 1 inside the skull-stripped head, with a soft edge.
        origin_mm: MNI position of voxel (0, 0, 0).
    """

    gray: FloatMap
    white: FloatMap
    brain: FloatMap
    origin_mm: tuple[float, float, float]

    def sample(self, tissue: FloatMap, position_mm: FloatMap) -> FloatMap:
        """Read one of the maps at MNI positions `(3, ...)`, linearly; 0 outside."""
        origin = np.asarray(self.origin_mm, np.float32).reshape(3, *[1] * (position_mm.ndim - 1))
        return cast(
            "FloatMap", ndimage.map_coordinates(tissue, position_mm - origin, order=1, prefilter=False)
        )


@lru_cache(maxsize=1)
def load_atlas(spacing_mm: float) -> Atlas:
    """Load the MNI152 tissue maps, smoothed so that a grid of `spacing_mm` samples them without aliasing.

    The maps are those of Fonov et al. 2011 (ICBM 152, nonlinear, symmetric, 2009a), which nilearn carries
    with it.

    Raises:
        ConfigurationError: nilearn is not installed.
    """
    try:
        from nilearn import datasets
    except ImportError as error:
        raise ConfigurationError(
            "Synthetic cohorts need nilearn, which carries the MNI152 anatomy, and it is not installed. "
            "Run: pip install -c constraints.txt nilearn, with the constraints.txt of the release"
        ) from error
    template = datasets.load_mni152_template(resolution=1)
    intensity, gray, white = (
        np.asarray(image.dataobj, dtype=np.float32)
        for image in (
            template,
            datasets.load_mni152_gm_template(resolution=1),
            datasets.load_mni152_wm_template(resolution=1),
        )
    )
    brain = intensity > 0.05
    box = bounding_box(brain, margin=3)
    inside = brain[box].astype(np.float32)
    origin = template.affine[:3, 3] + [side.start for side in box]
    sigma = 0.42 * np.sqrt(max(spacing_mm**2 - 1, 0))
    gray, white, inside = (
        ndimage.gaussian_filter(tissue, sigma) for tissue in (gray[box] * inside, white[box] * inside, inside)
    )
    return Atlas(gray, white, inside, tuple(origin.tolist()))


def bounding_box(mask: BoolMap, margin: int) -> tuple[slice, slice, slice]:
    """The smallest box that holds the true voxels, widened by `margin` voxels inside the array."""
    (found,) = ndimage.find_objects(mask.astype(np.uint8))
    first, second, third = (
        slice(max(side.start - margin, 0), min(side.stop + margin, size))
        for side, size in zip(found, mask.shape, strict=True)
    )
    return first, second, third
