"""Data of one site: its cases, checked, preprocessed and split into three sets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from consilium.counts import Count, count_text, counted, list_counts
from consilium.data.cache import CachedCase, CaseCache, PreparedCohort
from consilium.data.case_format import Progress
from consilium.data.checks import CheckedCohort
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.errors import RefusalCode, SiteRefusal
from consilium.participant.case_admission import admit_cases, missing_targets_refusal, site_case_format
from consilium.participant.patient_register import PatientRegister
from consilium.participant.patient_selection import (
    ScoreMinimum,
    check_patient_count,
    check_round,
    select_cases,
)
from consilium.participant.register_files import open_register
from consilium.participant.site_cases import count_left_out
from consilium.participant.site_settings import Role, SiteSettings
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings

_logger = logging.getLogger(__name__)

_NO_MINIMUM: Final = ScoreMinimum(1, "min_training_patients")


@dataclass(frozen=True)
class SiteData:
    """The cases of one site, ready to use.

    Attributes:
        train: Labeled cases to train on.
        validation: Labeled cases to choose models on; no job trains on them.
        test: Labeled cases to report on; no job trains on them, or chooses a model by them.
        problems: Cases left out. They name patients: they stay on the site.
        left_out: How many they are, by the code of the reason: this may leave the site.
        groups: Ids of validation or test cases that are evaluated together or not at all; see
            `answer_groups`.
        validation_held_back: How many more cases models could be chosen on, and are not: scores of so few
            stay here.
        test_held_back: How many more cases could be reported on, and are not.
        trained_before: See `SelectedCases`.
        draw_seed: What samples, augmentation and dropout are drawn by; None for the job's seed. No two sites
            have the same.
        min_update_patients: Fewest patients behind an update.
        min_loss_patients: Fewest patients behind a loss.
        score_minimum: Fewest patients behind scores.
        max_left_out: Share of the cases that may be left out.
        split: Fingerprint of the register that divided the patients; see `PatientRegister.fingerprint`.
        withdrawn: Patients of the dataset folder who withdrew; their cases are in no set.
        missing_targets: Targets that the labels lack: they are neither trained nor scored.
    """

    train: tuple[CachedCase, ...]
    validation: tuple[CachedCase, ...]
    test: tuple[CachedCase, ...] = ()
    problems: tuple[Finding, ...] = field(default=(), repr=False)
    left_out: dict[str, Count] = field(default_factory=dict)
    groups: tuple[frozenset[str], ...] = field(default=(), repr=False)
    validation_held_back: int = 0
    test_held_back: int = 0
    trained_before: int = 0
    draw_seed: int | None = field(default=None, repr=False)
    min_update_patients: int = 1
    min_loss_patients: int = 1
    score_minimum: ScoreMinimum = _NO_MINIMUM
    max_left_out: float = 1.0
    split: str | None = field(default=None, repr=False)
    withdrawn: frozenset[str] = field(default=frozenset(), repr=False)
    missing_targets: tuple[str, ...] = ()

    @property
    def role(self) -> Role:
        """Whether the site can train: it has patients to train on."""
        return "trains" if self.train else "evaluates"

    @property
    def summary(self) -> str:
        """The role and how many cases there are, for the site's own log."""
        return (
            f"this site {self.role}: {counted(len(self.train), 'training case')}, "
            f"{counted(len(self.validation), 'validation case')}, {counted(len(self.test), 'test case')}, "
            f"{self.held_back} held back, {len(self.problems)} left out"
        )

    def without(self, unreadable: Collection[str]) -> SiteData:
        """Return the cases without those that could no longer be read.

        A lost case that was evaluated on takes its group with it, so that the scores of two rounds don't
        differ by it.

        Args:
            unreadable: Their ids.

        Raises:
            SiteRefusal: If more are left out now than the site allows, or too few patients are left.
        """
        lost = {case.id for case in (*self.train, *self.evaluated_cases) if case.id in unreadable}
        if not lost:
            return self
        detail = "its preprocessed files could no longer be read; they are made again with the next job"
        problems = [Finding(case_id=case, code=DataCode.UNREADABLE, detail=detail) for case in sorted(lost)]
        for problem in problems:
            _logger.warning("%s", problem.describe())
        groups = tuple(group for group in self.groups if not group & lost)
        validation, test = (
            tuple(case for case in cases if any(case.id in group for group in groups))
            for cases in (self.validation, self.test)
        )
        code = DataCode.UNREADABLE.value
        data = replace(
            self,
            train=tuple(case for case in self.train if case.id not in lost),
            validation=validation,
            test=test,
            problems=(*self.problems, *problems),
            # How many they are now would say that it happened to these few.
            left_out=dict(sorted({**self.left_out, code: self.left_out.get(code)}.items())),
            groups=groups,
            validation_held_back=self.validation_held_back + _dropped(self.validation, validation, lost),
            test_held_back=self.test_held_back + _dropped(self.test, test, lost),
        )
        left_out = len(data.problems)
        if left_out > self.max_left_out * (left_out + data.usable):
            raise SiteRefusal(
                f"cases became unreadable during the job, and more than {self.max_left_out:.0%} of the cases "
                f"are left out now, which its max_left_out forbids ({list_counts(data.left_out)})",
                code=RefusalCode.LOST_CASES,
                left_out=data.left_out,
            )
        check_patient_count(data.train, data.evaluated_cases, self.min_update_patients, self.score_minimum)
        return data

    @property
    def evaluated_cases(self) -> tuple[CachedCase, ...]:
        """The cases that models are evaluated on, in either set."""
        return (*self.validation, *self.test)

    @property
    def held_back(self) -> int:
        """How many more cases could be evaluated on, and are not."""
        return self.validation_held_back + self.test_held_back

    @property
    def validated(self) -> Count:
        """How many cases models are chosen on; None where there are some, and their scores stay here."""
        return None if self.validation_held_back and not self.validation else len(self.validation)

    @property
    def tested(self) -> Count:
        """How many cases are reported on; None where there are some, and their scores stay here."""
        return None if self.test_held_back and not self.test else len(self.test)

    @property
    def usable(self) -> int:
        """How many cases are not left out."""
        return len(self.train) + len(self.evaluated_cases) + self.held_back + self.trained_before


def _dropped(before: Sequence[CachedCase], after: Sequence[CachedCase], lost: Collection[str]) -> int:
    """How many cases of a set are no longer in it, though they can be read."""
    return sum(case not in after and case.id not in lost for case in before)


def prepare_site(
    site: SiteSettings,
    learning: LearningSettings,
    *,
    run: str = "",
    name: str = "",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SiteData:
    """Read, check, preprocess and split a site's cases. What is in the cache already is not even read.

    Example:
        ```python
        from pathlib import Path

        from consilium import SiteSettings, prepare_site, read_exported_job

        job = read_exported_job(Path("jobs/brain_tumor_fedavg"))
        cases = prepare_site(SiteSettings(dataset=Path("/data/north")), job.learning)
        print(len(cases.train), len(cases.validation), len(cases.test), cases.left_out)
        ```

    Args:
        site: What the hospital decides.
        learning: What the job decides.
        run: Id of the job that the training began with.
        name: The site's name: simulated sites, which share a salt, draw their samples by it.
        progress: Called for each case.
        cancelled: Asked before every case.

    Raises:
        SiteRefusal: If the folder as a whole can't be used, its labels lack a target that this job's model
            needs, no labeled case is left, more of them are left out than the site allows, or what it sent
            would be about fewer patients than it allows.
        DataError: If the cache or the site's register can't be written, or the cache is too small.
        Cancelled: Soon after `cancelled` turned true.
    """
    task = get_task(learning.task)
    declined = missing_targets_refusal(site, learning)
    if declined is not None:
        raise declined
    checked, prepared = prepare_cases(site, learning, progress=progress, cancelled=cancelled)
    with open_register(site, checked.cohort.patients.examinations) as register:
        labeled, left_out = require_labeled(register, site, checked, prepared)
        selected = select_cases(register, site, labeled, task)
        if site.split_salt is None:
            # With the job's seed, the rounds of two jobs that differ by one step would differ by one sample.
            trained = [case.id for case in selected.train]
            draw_seed = register.draw_seed(run, learning.model_dump_json(), *trained)
        else:
            draw_seed = register.draw_seed(name, str(learning.seed))  # a simulation has to repeat
    if selected.trained_before:
        _logger.warning(
            "%s in no set: this site trained on their patients, or chose models by them, before it only "
            "evaluated",
            counted(selected.trained_before, "labeled case is", "labeled cases are"),
        )
    data = SiteData(
        selected.train,
        selected.validation.cases,
        selected.test.cases,
        prepared.problems,
        left_out,
        (*selected.validation.groups, *selected.test.groups),
        selected.validation.held_back,
        selected.test.held_back,
        selected.trained_before,
        draw_seed,
        site.update_minimum,
        site.min_training_patients,
        ScoreMinimum.of(site, task),
        site.max_left_out,
        register.fingerprint,
        checked.cohort.withdrawn,
        site.missing_targets_of(task),
    )
    check_patient_count(selected.train, selected.evaluated, site.update_minimum, data.score_minimum)
    check_round(selected.train, site, learning)
    return data


def prepare_cases(
    site: SiteSettings,
    learning: LearningSettings,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[CheckedCohort, PreparedCohort]:
    """Read, check and preprocess a site's cases; see `prepare_site`."""
    task = get_task(learning.task)
    cache = CaseCache(
        site.cache_dir,
        case_format=site_case_format(site, task, learning),
        settings=task.cases.preparation(learning),
        max_bytes=None if site.cache_gib is None else int(site.cache_gib * 2**30),
    )
    checked = admit_cases(site, task, learning, products=(cache,), progress=progress, cancelled=cancelled)
    return checked, cache.collect(checked.cohort, checked.made)


def require_labeled(
    register: PatientRegister, site: SiteSettings, checked: CheckedCohort, prepared: PreparedCohort
) -> tuple[list[CachedCase], dict[str, Count]]:
    """Return the labeled cases, and how many are left out by code.

    Raises:
        SiteRefusal: If there is no labeled case.
    """
    labeled = [case for case in prepared.cases if case.labeled]
    left_out = count_left_out(register, prepared.problems, checked.cohort, minimum=site.min_count)
    if not labeled:
        unlabeled = register.count("unlabeled", prepared.cases, minimum=site.min_count)
        raise SiteRefusal(
            f"no usable labeled case: {count_text(unlabeled)} without a label; left out: "
            f"{list_counts(left_out) or 'none'}",
            code=RefusalCode.NO_LABELED_CASE,
            left_out=left_out,
            details=[problem.describe() for problem in prepared.problems],
        )
    return labeled, left_out
