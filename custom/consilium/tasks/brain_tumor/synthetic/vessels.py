"""Healthy structures that take up contrast agent: veins, sinuses, dura and choroid plexus."""

from typing import Final, cast

import numpy as np
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.noise import FloatMap, smooth_noise
from consilium.tasks.brain_tumor.synthetic.places import Place

_PLEXUS: Final = (
    Place((22.0, -40.0, 9.0), (6.0, 6.0, 6.0)),  # in the atria
    Place((10.0, -14.0, 20.0), (5.0, 16.0, 4.0)),  # on the floor of the bodies
)
_LARGE: Final = (
    Place((0.0, -24.0, 12.0), (2.5, 16.0, 3.0)),  # internal cerebral veins
    Place((0.0, -44.0, 8.0), (3.5, 6.0, 9.0)),  # vein of Galen and straight sinus
    Place((8.0, 2.0, -18.0), (12.0, 4.0, 4.0)),  # circle of Willis
    Place((34.0, 2.0, -12.0), (16.0, 4.0, 5.0)),  # middle cerebral arteries
    Place((0.0, -10.0, -28.0), (2.5, 3.0, 14.0)),  # basilar artery
)
_SINUS: Final = (
    Place((0.0, -30.0, 70.0), (4.0, 75.0, 22.0)),  # superior sagittal
    Place((0.0, -90.0, 10.0), (5.0, 14.0, 50.0)),  # its end
    Place((35.0, -75.0, -22.0), (26.0, 20.0, 9.0)),  # transverse
)


def grow_vessels(head: Head, rng: np.random.Generator) -> FloatMap:
    """Share of enhancing vessel or membrane per voxel `(X, Y, Z)`, 0 to 0.9.

    Args:
        head: The anatomy.
        rng: The source of randomness.
    """
    strength = rng.uniform(0.5, 1.0)
    shape, spacing = head.brain.shape, head.spacing_mm
    course = smooth_noise(rng, shape, width_mm=5, spacing_mm=spacing)
    # None near the midline: that CSF is in the ventricles.
    sulci = np.clip((np.abs(head.side_mm) - 28) / 8, 0, 1)
    fluid = 1.1 * np.clip(1.5 * (course - 1.0), 0, 1) * sulci
    for place in _PLEXUS:
        fluid = np.maximum(fluid, rng.uniform(0.4, 1.0) * place.share(head.position_mm))
    for place in _LARGE:
        patchy = np.clip(0.6 + 0.8 * course, 0, 1)
        fluid = np.maximum(fluid, rng.uniform(0.3, 1.0) * patchy * place.share(head.position_mm))
    vessel = head.csf * fluid
    surface = _surface(head)
    for place in _SINUS:
        vessel = np.maximum(vessel, rng.uniform(0.3, 1.0) * surface * place.share(head.position_mm))
    # What skull stripping left of the dura: patches of the outermost millimeters, in some heads many.
    patches = smooth_noise(rng, shape, width_mm=14, spacing_mm=spacing)
    vessel = np.maximum(vessel, 0.9 * surface * np.clip(2 * (patches - rng.uniform(0.3, 2.0)), 0, 1))
    return cast("FloatMap", np.clip(strength * vessel, 0, 0.9))


def _surface(head: Head) -> FloatMap:
    """1 at the outer surface of the brain, 0 from about 4 mm beneath it."""
    depth = ndimage.gaussian_filter(head.brain.astype(np.float32), 2.5 / head.spacing_mm)
    return cast("FloatMap", head.brain * np.clip((0.85 - depth) / 0.25, 0, 1))
