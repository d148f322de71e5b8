"""Selection of a job's training and validation patients, with their minimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consilium.counts import OfPatient, count_patients, counted
from consilium.data.split import CaseT
from consilium.errors import RefusalCode, SiteRefusal
from consilium.participant.patient_register import Answerable, PatientRegister
from consilium.participant.site_settings import SiteSettings
from consilium.tasks.base import Task
from consilium.tasks.learning_settings import LearningSettings

_SCORES: Final = "scores"
_COUNTS: Final = "counts in scores"
"""Questions by whose names the register keeps the groups of patients."""


@dataclass(frozen=True)
class ScoreMinimum:
    """The fewest patients that scores are of.

    Attributes:
        patients: How many.
        setting: The hospital's setting that says so.
    """

    patients: int
    setting: str

    @classmethod
    def of(cls, site: SiteSettings, task: Task) -> ScoreMinimum:
        """Return the minimum of a task's scores at a site: the larger one, where they hold counts."""
        setting = task.evaluation.metrics.minimum_setting
        if setting == "min_count" and site.min_count > site.min_training_patients:
            return cls(site.min_count, setting)
        return cls(site.min_training_patients, "min_training_patients")


def select_cases(
    register: PatientRegister, site: SiteSettings, labeled: Sequence[CaseT], task: Task
) -> tuple[tuple[CaseT, ...], Answerable[CaseT]]:
    """Return the cases to train on, and those to evaluate models on.

    Scores that hold counts, such as a confusion matrix, say as much as other counts do: they are of whole
    groups of `min_count` patients. Their answers are compared with those of tasks without counts: the same
    patients may be scored by both.

    Args:
        register: The site's.
        site: What the hospital decides; nothing here depends on the job.
        labeled: The usable labeled cases.
        task: What they are labeled for.
    """
    train: tuple[CaseT, ...] = ()
    validation: Sequence[CaseT] = labeled
    if site.role == "trains":
        split = register.split(labeled, validation_fraction=site.validation_fraction)
        train, validation = split.train, split.validation
    question, other = (_COUNTS, _SCORES) if task.evaluation.metrics.has_counts else (_SCORES, _COUNTS)
    return train, register.answerable(
        question,
        validation,
        minimum=ScoreMinimum.of(site, task).patients,
        # The mean of one task may be a count of another: the share of patients who were graded right.
        compared={other: site.min_training_patients},
    )


def check_patient_count(
    train: Sequence[OfPatient], validation: Sequence[OfPatient], minimum: int, scores: ScoreMinimum
) -> None:
    """Check that there are enough patients to take part.

    A site that trains may have too few to send scores of. One that can send neither an update nor scores
    doesn't take part.

    Args:
        train: Cases to train on.
        validation: Cases to evaluate models on.
        minimum: The site's `min_training_patients`.
        scores: The minimum of what is answered about the cases to evaluate on.

    Raises:
        SiteRefusal: If there are not enough; the reason has no count in it.
    """
    if train and count_patients(train) < minimum:
        raise SiteRefusal(
            f"its update would be of fewer than {counted(minimum, 'patient')}, which its "
            "min_training_patients forbids",
            code=RefusalCode.FEW_PATIENTS,
        )
    if not train and count_patients(validation) < scores.patients:
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
    if train and samples < site.min_training_patients:
        raise SiteRefusal(
            "this job trains on too few patients a round for this site's min_training_patients: it takes "
            f"at least {counted(site.min_training_patients, 'sample')}, that is local_steps (or "
            "local_epochs) times batch_size",
            code=RefusalCode.FEW_PATIENTS_A_ROUND,
        )
