"""The demo's hospitals, and another one whose patients nobody else has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consilium.data.cached_case import CachedCase
from consilium.errors import ConfigurationError
from consilium.participant.site_data import SiteData
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.synthetic import SyntheticCohort, specify_cohort
from epsilon_parts.grid import Effort
from nnunet_parts.comparison import say
from nnunet_parts.ours import prepare_hospital

OTHER_SEED: Final = 1000
"""Of the patients that a model is pretrained on; those of the demo have seed 0."""

_SMALL: Final = {
    "hospitals": {"aster": "brats2021:5", "birch": "brats2020:5", "dahlia": "brats2023:3"},
    "spacing": 4,
}
"""Hospitals of a quick trial."""


@dataclass(frozen=True)
class Hospitals:
    """Prepared patients.

    Attributes:
        sites: The federation's, by name; one that only evaluates has nobody to train on.
        other: Patients of the other hospital.
    """

    sites: Mapping[str, SiteData]
    other: tuple[CachedCase, ...]

    @property
    def training(self) -> dict[str, tuple[CachedCase, ...]]:
        """Cases to train on, by the sites that train."""
        return {name: data.train for name, data in self.sites.items() if data.train}

    def held_out(self, most: int) -> list[CachedCase]:
        """Return patients that nobody trains on.

        Args:
            most: Of each site.
        """
        return [case for data in self.sites.values() for case in data.test[:most]]


def make_hospitals(out: Path, learning: SegmentationSettings, effort: Effort) -> Hospitals:
    """Make and prepare all patients; those that are there are left alone.

    Args:
        out: Folder of everything.
        learning: How they are prepared.
        effort: How many there are.

    Raises:
        ConfigurationError: If a patient of the other hospital is one of the federation's.
    """
    demo = synthetic_cohort(learning.task)
    cohort = specify_cohort(demo, _SMALL) if effort.small else demo
    options = {"hospitals": {"north": f"brats2021:{effort.pretraining_patients}"}, "seed": OTHER_SEED}
    if effort.small:
        options["spacing"] = 4
    other = specify_cohort(demo, options)
    folders = _make(cohort, out / "hospitals")
    sites = {
        name: prepare_hospital(
            name,
            folder,
            out,
            learning,
            evaluates=name in demo.evaluators,
            held_out=demo.test_fractions.get(name, 0.5),
        )
        for name, folder in folders.items()
    }
    (folder,) = _make(other, out / "other").values()
    found = prepare_hospital("other", folder, out, learning, held_out=0).train
    require_others(found, sites)
    return Hospitals(sites, found)


def _make(cohort: SyntheticCohort, folder: Path) -> dict[str, Path]:
    made = cohort.make(folder, progress=lambda done, total, case: say(f"patient {done} of {total}"))
    return made.hospitals


def require_others(other: Sequence[CachedCase], sites: Mapping[str, SiteData]) -> None:
    """Check that pretraining has no patient of the federation, by their images: names repeat.

    Args:
        other: Patients of the pretraining.
        sites: The federation's.

    Raises:
        ConfigurationError: If one is in both.
    """
    known = {case.folder.name for data in sites.values() for case in (*data.train, *data.test)}
    shared = sorted(case.id for case in other if case.folder.name in known)
    if shared:
        raise ConfigurationError(
            f"pretraining and the federation share patients ({', '.join(shared)}); choose another --out"
        )
