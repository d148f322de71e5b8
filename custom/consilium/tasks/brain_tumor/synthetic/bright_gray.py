"""Healthy structures that are brighter than other gray matter on FLAIR and T2."""

from collections.abc import Mapping
from typing import Final, cast

import numpy as np

from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.noise import FloatMap, smooth_noise
from consilium.tasks.brain_tumor.synthetic.places import Place, both_sides

_PLACES: Final[Mapping[str, Place]] = {
    "hippocampus": Place((26, -20, -14), (9, 18, 9)),
    "amygdala": Place((22, -4, -20), (10, 9, 9)),
    "insula": Place((38, 4, 2), (7, 20, 15)),
    "gyrus rectus": Place((7, 31, -19), (12, 22, 12)),
    "subcallosal area": Place((6, 16, -9), (13, 14, 12)),
    "anterior cingulate": Place((4, 32, 18), (8, 14, 18)),
    "middle cingulate": Place((4, -5, 38), (8, 28, 9)),
    "temporal pole": Place((38, 12, -32), (13, 13, 11)),
    "thalamus": Place((11, -18, 8), (10, 14, 9)),
    "caudate nucleus": Place((13, 12, 10), (7, 13, 11)),
    "putamen": Place((26, 4, 2), (8, 16, 10)),
    "midbrain": Place((5, -24, -12), (12, 11, 10)),
    "pons": Place((5, -27, -34), (13, 12, 16)),
    "vermis": Place((0, -65, -22), (11, 17, 17)),
    "corticospinal tract": Place((22, -16, 12), (7, 9, 18)),
}
"""Limbic cortex, deep nuclei and tracts."""


def brighten_gray(head: Head, rng: np.random.Generator) -> FloatMap:
    """Share of gray and white matter that is wetter than usual `(X, Y, Z)`, 0 to 1, with no disease.

    Patients differ in how much, places in how much in one patient, the two sides hardly.

    Args:
        head: The anatomy.
        rng: The source of randomness.
    """
    patient = rng.uniform(0.5, 1.0)
    usual = np.ones(head.brain.shape, np.float32)
    for place in _PLACES.values():
        amount = patient * rng.uniform(0.0, 1.0)
        right, left = amount * rng.uniform(0.8, 1.0, 2)
        usual *= 1 - both_sides(head.position_mm, right, left) * place.share(head.position_mm)
    patches = smooth_noise(rng, head.brain.shape, width_mm=12, spacing_mm=head.spacing_mm)
    usual *= 1 - patient * 0.5 * np.clip(patches - 0.5, 0, 1) * head.gray
    return cast("FloatMap", 1 - usual)
