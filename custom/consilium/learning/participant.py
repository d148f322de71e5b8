"""One hospital in a study: its settings, its cases, and what it can do with a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from consilium.data.cache import CachedCase, CaseCache
from consilium.data.case import CaseProblem
from consilium.data.codes import ProblemCode
from consilium.data.preprocessing import PreprocessingSettings
from consilium.data.progress import Progress
from consilium.data.split import split_patients
from consilium.errors import SiteRefusal
from consilium.learning.device import process_count
from consilium.learning.quarantine import admit_cases, left_out_by_code
from consilium.learning.rounds import Schedule, TrainingResult
from consilium.learning.settings import ComputeSettings, LearningSettings
from consilium.learning.single_process import SingleProcess
from consilium.learning.site_settings import Role, SiteSettings
from consilium.learning.small_counts import Count, list_counts, suppress, too_few
from consilium.learning.weights import Weights
from consilium.learning.worker_group import WorkerGroup
from consilium.tasks import get_task
from consilium.tasks.metrics import Scores

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SiteData:
    """The cases of one site, ready to use.

    Attributes:
        train: Labeled cases to train on.
        validation: Labeled cases that nobody trains on.
        problems: Cases left out. They name patients: they stay on the site.
        min_count: Counts below this, other than 0, stay there as well.
        max_left_out: Share of the cases that may be left out.
    """

    train: tuple[CachedCase, ...]
    validation: tuple[CachedCase, ...]
    problems: tuple[CaseProblem, ...] = field(default=(), repr=False)
    min_count: int = 1
    max_left_out: float = 1.0

    @property
    def role(self) -> Role:
        """Whether the site can train: it takes a patient to train on and another to validate on."""
        return "trains" if self.train else "evaluates"

    @property
    def left_out(self) -> dict[str, Count]:
        """How many cases were left out, by the code of the reason: this may leave the site."""
        return suppress(left_out_by_code(self.problems), self.min_count)

    def without(self, unreadable: Collection[str]) -> SiteData:
        """Return the cases without those that could no longer be read.

        Args:
            unreadable: Their ids.

        Raises:
            SiteRefusal: If more are left out now than the site allows, or too few are left to tell about.
        """
        lost = [case.id for case in (*self.train, *self.validation) if case.id in unreadable]
        if not lost:
            return self
        detail = "its preprocessed files could no longer be read; they are made anew with the next job"
        problems = [CaseProblem(case, ProblemCode.UNREADABLE, detail) for case in lost]
        for problem in problems:
            _logger.warning("%s", problem.describe())
        data = replace(
            self,
            train=tuple(case for case in self.train if case.id not in lost),
            validation=tuple(case for case in self.validation if case.id not in lost),
            problems=(*self.problems, *problems),
        )
        left_out, used = len(data.problems), len(data.train) + len(data.validation)
        if left_out > self.max_left_out * (left_out + used):
            raise SiteRefusal(
                f"cases became unreadable during the job, and more than {self.max_left_out:.0%} of the cases "
                f"are left out now, which its max_left_out forbids ({list_counts(data.left_out)})"
            )
        reason = too_few((data.train, data.validation), self.min_count)
        if reason is not None:
            raise SiteRefusal(reason)
        return data


def prepare_site(
    site: SiteSettings,
    learning: LearningSettings,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SiteData:
    """Read, check, preprocess and split a site's cases. What is already in the cache is not done again.

    Raises:
        SiteRefusal: If the folder as a whole can't be used, no labeled case is left, more of them are left
            out than the site allows, or what training tells would be about fewer patients than it allows.
        DataError: If the cache can't be written, or is too small.
        Cancelled: Soon after `cancelled` turned true.
    """
    task = get_task(learning.task)
    checked = admit_cases(site, task, progress=progress, cancelled=cancelled)
    cache = CaseCache(
        site.cache_dir,
        settings=PreprocessingSettings(modalities=task.modalities, spacing_mm=learning.spacing_mm),
        max_bytes=None if site.cache_gib is None else int(site.cache_gib * 2**30),
    )
    prepared = cache.prepare(checked.cohort, progress=progress, cancelled=cancelled)
    labeled = [case for case in prepared.cases if case.reference is not None]
    data = SiteData((), tuple(labeled), prepared.problems, site.min_count, site.max_left_out)
    if not labeled:
        unlabeled = list_counts(suppress({"without a label": len(prepared.cases)}, site.min_count))
        raise SiteRefusal(
            f"no usable labeled case: {unlabeled}; left out: {list_counts(data.left_out) or 'none'}",
            details=[problem.describe() for problem in data.problems],
        )
    if site.role == "trains":
        split = split_patients(labeled, validation_fraction=learning.validation_fraction, seed=learning.seed)
        data = replace(data, train=split.train, validation=split.validation)
    reason = too_few((data.train, data.validation), site.min_count)
    if reason is not None:
        raise SiteRefusal(reason)
    return data


class Participant:
    """Trains and judges models on one site's prepared cases, with as many processes as the site grants.

    Args:
        data: The cases.
        learning: What the job decides.
        compute: What the site decides.
        memory: Folder in which what a round starts from outlives this process; None for none.

    Raises:
        ConfigurationError: If the machine lacks what `compute` asks for.
        TrainingError: If the training processes don't start.
    """

    def __init__(
        self,
        data: SiteData,
        learning: LearningSettings,
        compute: ComputeSettings,
        *,
        memory: Path | None = None,
    ) -> None:
        self.data = data
        processes = _processes(data, learning, compute)
        self._learner: SingleProcess | WorkerGroup = (
            WorkerGroup(learning, compute, data.train, size=processes, memory=memory)
            if processes > 1
            else SingleProcess(learning, compute, data.train, memory=memory)
        )

    def train(
        self,
        weights: Weights,
        schedule: Schedule,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    ) -> TrainingResult:
        """Train one round; see `Trainer.train`. Cases that can no longer be read leave `data`.

        Raises:
            SiteRefusal: If this site only evaluates, or too many of its cases can no longer be read.
        """
        if self.data.role == "evaluates":
            raise SiteRefusal("this site only evaluates")
        result = self._learner.train(weights, schedule, cancelled=cancelled, on_step=on_step)
        self.data = self.data.without(result.unreadable)
        return result

    def score(
        self,
        weights: Weights,
        *,
        cases: Sequence[CachedCase] | None = None,
        distances: bool,
        cancelled: Callable[[], bool] = lambda: False,
        on_case: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Scores]:
        """Score weights on the site's validation cases, or on others; those that can't be read leave `data`.

        Raises:
            SiteRefusal: If too many of the site's cases can no longer be read.
        """
        judged = self.data.validation if cases is None else cases
        scores = self._learner.score(
            weights, judged, distances=distances, cancelled=cancelled, on_case=on_case
        )
        self.data = self.data.without(
            [case.id for case, score in zip(judged, scores, strict=True) if score is None]
        )
        return [score for score in scores if score is not None]

    def close(self) -> None:
        """End the processes that were started for training."""
        self._learner.close()


def _processes(data: SiteData, learning: LearningSettings, compute: ComputeSettings) -> int:
    granted = process_count(compute)
    if data.role == "evaluates":
        return 1
    if granted > learning.batch_size:
        _logger.warning(
            "this site grants %d training processes, but a batch of this job has %d patch(es): %d train",
            granted,
            learning.batch_size,
            learning.batch_size,
        )
    return min(granted, learning.batch_size)
