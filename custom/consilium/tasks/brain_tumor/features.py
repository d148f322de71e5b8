"""Statistics features of patients with brain tumors: the ranges of heads, and the limits measured on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from consilium.tasks.features import DriftLimits
from consilium.tasks.segmentation.features import Bins, VolumeFeatures
from consilium.tasks.segmentation.regions import Region

DRIFT: Final = DriftLimits(
    same_source=0.07,
    tried=0.20,
    unit="SD of the brain",
    source="scanner",
    evidence="among the demo's hospitals, which are about as far apart, it came within 0.02 Dice of one "
    "model trained on all data in one place",
    settings=("rounds=32", "learning.local_steps=8"),
)
"""For the modality in which a hospital's images are farthest from those of all others, from synthetic
hospitals (`benchmarks/site_distances.py`): of groups of 4 patients of one scanner 3 in a hundred are farther
from others of the same scanner than `same_source`, of groups of 8 one in a thousand, and nine in ten groups
of another scanner are."""


def head_features(modalities: Mapping[str, str], regions: Iterable[Region]) -> VolumeFeatures:
    """Return the features of skull-stripped heads.

    Args:
        modalities: The images of a case, each with its title.
        regions: What is segmented.
    """
    return VolumeFeatures(
        inputs=modalities,
        targets=tuple(regions),
        volume_ml=Bins(0.0, 300.0, 60),
        extent_mm=Bins(5.0, 405.0, 40),  # around centimeters, where sizes are
        intensity_unit="SD of the brain",
        intensity_note="Intensities as the network sees them: zero mean and unit standard deviation over "
        "each image's brain, so that a scanner that differs in gain or offset alone looks the same.",
        drift=DRIFT,
    )
