"""What a site may say about its readiness: counts, codes and its machine."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence

import nibabel as nib
import numpy as np
import psutil

from consilium.data.case import Case
from consilium.data.checks import CheckedCohort, Severity
from consilium.data.split import split_patients
from consilium.learning.cores import available_cores
from consilium.learning.quarantine import excess, left_out_by_code
from consilium.learning.settings import LearningSettings
from consilium.learning.site_settings import SiteSettings
from consilium.learning.small_counts import suppress, too_few
from consilium.report.readiness import Ability, Grid, Hardware, SiteReadiness

_GIB = 2**30


def assess(
    checked: CheckedCohort, site: SiteSettings, learning: LearningSettings, versions: dict[str, str]
) -> SiteReadiness:
    """Say what a site can do with the cases that it has.

    Args:
        checked: What was found in its folder.
        site: What the hospital decides; counts below its `min_count` stay there.
        learning: What the job to come decides.
        versions: Of the site's packages.
    """
    cohort = checked.cohort
    labeled = [case for case in cohort.cases if case.label is not None]
    can, reason = judge_ability(checked, site, learning)
    noted = Counter(
        finding.code.value for finding in checked.findings if finding.severity is not Severity.ERROR
    )
    usable = suppress({"usable": len(labeled)}, site.min_count)["usable"]
    return SiteReadiness(
        can=can,
        role=site.role,
        reason=reason,
        usable_cases=usable,
        left_out=suppress(left_out_by_code(cohort.problems), site.min_count),
        noted=suppress(dict(sorted(noted.items())), site.min_count),
        layout=cohort.layout,
        label_convention=cohort.convention.value if cohort.convention else None,
        grid=_grid(labeled) if usable else None,
        hardware=hardware(site),
        versions=versions,
    )


def judge_ability(
    checked: CheckedCohort, site: SiteSettings, learning: LearningSettings
) -> tuple[Ability, str | None]:
    """Return what a site can do with its cases, and why that is not all: as `prepare_site` decides."""
    labeled = [case for case in checked.cohort.cases if case.label is not None]
    if not labeled:
        return "nothing", "no usable labeled case"
    split = split_patients(labeled, validation_fraction=learning.validation_fraction, seed=learning.seed)
    groups = (split.train, split.validation) if site.role == "trains" else (labeled,)
    refusal = excess(checked, site) or too_few(groups, site.min_count)
    if refusal is not None:
        return "nothing", refusal
    if site.role == "evaluates":
        return "evaluate", "it only evaluates, as the hospital decided"
    if not split.train:
        return "evaluate", "one usable labeled patient, and training takes two"
    return "train", None


def hardware(site: SiteSettings) -> Hardware:
    """Return what a job may use of this machine, rounded."""
    present = site.cache_dir
    while not present.exists():
        present = present.parent
    gpus = [] if site.device == "cpu" else _gpus_gib()
    return Hardware(
        cores=site.cpu_threads or available_cores(),
        memory_gib=round(psutil.virtual_memory().total / _GIB, 1),
        gpus_gib=gpus,
        free_disk_gib=round(shutil.disk_usage(present).free / _GIB, 1),
    )


def _gpus_gib() -> list[float]:
    import torch  # seconds to load: not for a job that only counts, nor for who only writes one

    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [round(gpu.total_memory / _GIB, 1) for gpu in gpus]


def _grid(cases: Sequence[Case]) -> Grid:
    headers = [nib.load(next(iter(case.images.values())).path).header for case in cases]
    shape = np.median([header.get_data_shape()[:3] for header in headers], axis=0)
    spacing = np.median([header.get_zooms()[:3] for header in headers], axis=0)
    return Grid(
        shape=(round(shape[0]), round(shape[1]), round(shape[2])),
        spacing_mm=(
            round(float(spacing[0]), 3),
            round(float(spacing[1]), 3),
            round(float(spacing[2]), 3),
        ),
    )
