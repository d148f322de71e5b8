"""Selection of a job's training, validation and test patients, with their minimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal

from consilium.counts import OfPatient, count_patients, counted
from consilium.data.split import CaseT, Split
from consilium.errors import RefusalCode, SiteRefusal
from consilium.participant.patient_register import Answerable, PatientRegister
from consilium.participant.site_settings import SiteSettings
from consilium.tasks.base import Task
from consilium.tasks.learning_settings import LearningSettings

SCORES: Final = "scores"
COUNTS: Final = "counts in scores"
SUBGROUPS: Final = "subgroups"
"""Questions by whose names the register keeps the groups of patients."""


@dataclass(frozen=True)
class ScoreMinimum:
    """The fewest patients that scores are of.

    Attributes:
        patients: How many.
        setting: The hospital's setting that says so.
    """

    patients: int
    setting: Literal["min_training_patients", "min_count"]

    @classmethod
    def of(cls, site: SiteSettings, task: Task) -> ScoreMinimum:
        """Return the minimum of a task's scores at a site: the larger one, where they hold counts."""
        setting = task.evaluation.metrics.minimum_setting
        if setting == "min_count" and site.min_count > site.min_training_patients:
            return cls(site.min_count, setting)
        return cls(site.min_training_patients, "min_training_patients")


@dataclass(frozen=True)
class SelectedCases(Generic[CaseT]):
    """The cases of a site in a job, by what they are for.

    Attributes:
        train: To train on.
        validation: To choose models on.
        test: To report on, once a job has its models.
        trained_before: How many cases are in no set: at a site that only evaluates, of patients that it
            trained on before.
    """

    train: tuple[CaseT, ...]
    validation: Answerable[CaseT]
    test: Answerable[CaseT]
    trained_before: int = 0

    @property
    def evaluated(self) -> tuple[CaseT, ...]:
        """The cases that models may be evaluated on."""
        return (*self.validation.cases, *self.test.cases)

    @property
    def held_back(self) -> int:
        """How many more could be evaluated on, and are not."""
        return self.validation.held_back + self.test.held_back


def select_cases(
    register: PatientRegister, site: SiteSettings, labeled: Sequence[CaseT], task: Task
) -> SelectedCases[CaseT]:
    """Return the cases to train on, to choose models on, and to report on.

    A hospital that only evaluates reports on all patients: they choose no model. Those that it trained on or
    chose models by when it still trained are not among them.

    Both sets that are evaluated on are answered about under one question: the audit then sees all scores of
    the site together, and no group reaches over the border of the sets.

    Scores that hold counts, such as a confusion matrix, say as much as other counts do: they are of whole
    groups of `min_count` patients. Their answers are compared with those of tasks without counts: the same
    patients may be scored by both.

    Args:
        register: The site's.
        site: What the hospital decides; nothing here depends on the job.
        labeled: The usable labeled cases.
        task: What they are labeled for.
    """
    if site.role == "trains":
        split = register.split(labeled, site.set_shares)
    else:
        split = Split((), (), register.untouched(labeled))

    def answerable(cases: Sequence[CaseT], apart: Sequence[CaseT]) -> Answerable[CaseT]:
        return scored_cases(register, site, task, cases, apart)

    in_sets = len(split.train) + len(split.validation) + len(split.test)
    return SelectedCases(
        split.train,
        answerable(split.validation, split.test),
        answerable(split.test, split.validation),
        len(labeled) - in_sets,
    )


def scored_cases(
    register: PatientRegister,
    site: SiteSettings,
    task: Task,
    cases: Sequence[CaseT],
    apart: Sequence[CaseT],
    job_minimum: int = 1,
) -> Answerable[CaseT]:
    """Return the cases whose scores may leave, without counts but for those that are scores of the task.

    Args:
        register: The site's.
        site: What the hospital decides.
        task: What the cases are labeled for.
        cases: All cases of a set.
        apart: Those of the other set; see `PatientRegister.answerable`.
        job_minimum: Fewest patients of the whole answer that the job wants.
    """
    question, other = (COUNTS, SCORES) if task.evaluation.metrics.has_counts else (SCORES, COUNTS)
    return register.answerable(
        question,
        cases,
        minimum=ScoreMinimum.of(site, task).patients,
        job_minimum=job_minimum,
        # The mean of one task may be a count of another: the share of patients who were graded right.
        compared={other: site.min_training_patients, SUBGROUPS: site.min_training_patients},
        apart=apart,
    )


def lack_of_patients(site: SiteSettings, patients: int) -> str:
    """Say why a site that has not split any patients yet can't train; "" where it can.

    Args:
        site: What the hospital decides.
        patients: How many have a usable labeled case.
    """
    train, minimum = patients - sum(site.set_shares.sizes(patients)), site.update_minimum
    if train >= minimum:
        return ""
    if not train and patients >= minimum:
        return "One patient can't be split into sets: this site will only evaluate"
    setting = "min_training_patients" if site.min_update_patients is None else "min_update_patients"
    return (
        f"Too few to train on: {counted(patients, 'labeled patient')}, and {setting} is {minimum}; a job "
        "would be declined"
    )


def describe_sets(train: int, validation: int, test: int, withheld: str = "") -> str:
    """Say how many patients are in each set of a site that trains, and what a missing one means.

    Args:
        train: How many are trained on.
        validation: How many choose models.
        test: How many are reported on.
        withheld: See `describe_withheld`.
    """
    if withheld:
        return f"To train on: {counted(train, 'patient')}. {withheld}"
    said = (
        f"To train on: {counted(train, 'patient')}; to choose models on: {validation}; to report on: {test}"
    )
    if not test:
        said += "; no result is reported of this hospital: it has too few patients, or test_fraction is 0"
    if not validation:
        said += "; it chooses no model: it has too few patients, or validation_fraction is 0"
    return said


def describe_withheld(site: SiteSettings, task: Task, validation: int, test: int) -> str:
    """Say that no score of a site that trains would leave it; "" where one would.

    Args:
        site: What the hospital decides.
        task: What is to be learned.
        validation: How many patients the site has to choose models on.
        test: How many it has to report on.
    """
    minimum = ScoreMinimum.of(site, task)
    if max(validation, test) >= minimum.patients:
        return ""
    return (
        f"All its scores would be held back: with {counted(validation, 'validation patient')} and "
        f"{counted(test, 'test patient')}, each set has fewer than {minimum.patients}, its {minimum.setting}"
    )


def check_patient_count(
    train: Sequence[OfPatient], evaluated: Sequence[OfPatient], minimum: int, scores: ScoreMinimum
) -> None:
    """Check that there are enough patients to take part.

    A site that trains may have too few to send scores of. One that can send neither an update nor scores
    doesn't take part.

    Args:
        train: Cases to train on.
        evaluated: Cases to evaluate models on.
        minimum: The fewest patients of the site's updates.
        scores: The minimum of what is answered about the cases to evaluate on.

    Raises:
        SiteRefusal: If there are not enough; the reason has no count in it.
    """
    if train and count_patients(train) < minimum:
        raise SiteRefusal(
            f"its update would be of fewer than {counted(minimum, 'patient')}, which its "
            "min_training_patients, or min_update_patients, forbids",
            code=RefusalCode.FEW_PATIENTS,
        )
    if not train and count_patients(evaluated) < scores.patients:
        raise SiteRefusal(
            f"its scores would be of fewer than {counted(scores.patients, 'patient')}, which its "
            f"{scores.setting} forbids",
            code=RefusalCode.FEW_PATIENTS,
        )


def check_round(train: Sequence[OfPatient], site: SiteSettings, learning: LearningSettings) -> None:
    """Check that a round of a job can show the network enough of a site's patients.

    Args:
        train: Cases to train on; none at a site that only evaluates.
        site: What the hospital decides.
        learning: What the job decides.

    Raises:
        SiteRefusal: If not.
    """
    samples = learning.steps_per_round(len(train)) * learning.batch_size
    if train and samples < site.update_minimum:
        raise SiteRefusal(
            "this job trains on too few patients a round for this site's min_training_patients: it takes "
            f"at least {counted(site.update_minimum, 'sample')}, that is local_steps (or "
            "local_epochs) times batch_size",
            code=RefusalCode.FEW_PATIENTS_A_ROUND,
        )
