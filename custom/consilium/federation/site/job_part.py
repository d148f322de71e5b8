"""A site's part in one job: its participant, which is prepared when first needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel

from consilium.data.finding import Finding
from consilium.default_task import DEFAULT
from consilium.errors import SiteRefusal
from consilium.federation.message_names import RUN_META
from consilium.federation.site.algorithm_dialogue import site_place
from consilium.federation.site.journal import SiteJournal
from consilium.federation.site.local_settings import read_site_settings
from consilium.federation.site.state import StateReporter
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.dialogue import SitePlace
from consilium.participant.evaluation_log import EvaluationLog
from consilium.participant.site_settings import SiteSettings
from consilium.tasks import parse_learning
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.registry import is_built_in

if TYPE_CHECKING:
    from consilium.participant.participant import Participant


class JobPart:
    """Holds what a site's tasks of one job share.

    Args:
        learning: The fields of `LearningSettings`.
        algorithm: What the job decides about its algorithm.
        component: Writes the site's log.
        state: Reports what the site is doing.
        journal: What the site keeps for itself.
        min_sites: Fewest sites whose updates make a round.
    """

    def __init__(
        self,
        learning: Mapping[str, Any],
        algorithm: AlgorithmSettings,
        component: FLComponent,
        state: StateReporter,
        journal: SiteJournal,
        min_sites: int,
    ) -> None:
        self._min_sites = min_sites
        self._learning = learning
        self._task = str(learning.get("task", DEFAULT))
        if is_built_in(self._task):
            self.learning  # noqa: B018 - what can't be used is said at once
        self.algorithm = algorithm
        self.component = component
        self.state = state
        self.journal = journal
        self._participant: Participant | None = None
        self._run: str | None = None
        """Id of the training as the server named it when the cases were prepared: samples are drawn by it."""

    @cached_property
    def learning(self) -> LearningSettings:
        """What the job decides. Reading it imports the task, which the site's policy has to list before."""
        return parse_learning(self._learning, source="the job's learning settings")

    def settings(self, fl_ctx: FLContext) -> SiteSettings:
        """Return what the hospital decides about the job's task."""
        return read_site_settings(fl_ctx, self._task)

    def participant(self, request: FLModel, fl_ctx: FLContext, abort: Signal) -> Participant:
        """Prepare the site's data at the first task of the job; every later one finds it ready.

        Raises:
            SiteRefusal: See `start_participant`.
        """
        if self._participant is None:
            from consilium.federation.site.start_participant import start_participant

            site = self.settings(fl_ctx)
            run = request.meta.get(RUN_META)
            self._run = str(run)
            self._participant = start_participant(
                site,
                self.learning,
                self.algorithm,
                job=str(fl_ctx.get_job_id()),
                run=run,
                rounds=request.total_rounds or 1,
                min_sites=self._min_sites,
                name=str(fl_ctx.get_identity_name()),
                local=Path(fl_ctx.get_engine().get_workspace().get_site_config_dir()),
                progress=lambda done, total, what: self.state.report_cases(
                    fl_ctx, f"preparing: {what}", done, total, minimum=site.min_count
                ),
                cancelled=lambda: abort.triggered,
            )
            data = self._participant.data
            self.log_problems(data.problems, fl_ctx)
            self.component.log_info(fl_ctx, data.summary)
            self.journal.note_cases(data, site)
        return self._participant

    def place(self, fl_ctx: FLContext, shareable: Shareable) -> SitePlace:
        """Return which site of which training this is, for the algorithm's dialogue.

        Raises:
            SiteRefusal: If the hospital's settings decline the job, or the server names another training than
                when the cases were prepared.
        """
        from consilium.federation.site.start_participant import require_admissible

        site = self.settings(fl_ctx)
        require_admissible(site, self.learning, self.algorithm, self._min_sites)
        role = site.role if self._participant is None else self._participant.data.role
        place = site_place(fl_ctx, site, shareable, role)
        if self._run not in (None, place.run):
            raise SiteRefusal("the server names another training than at the beginning of this job")
        return place

    def evaluations(self, fl_ctx: FLContext) -> EvaluationLog:
        """Return the hospital's log of evaluations, opened for this job."""
        return EvaluationLog(self.settings(fl_ctx), str(fl_ctx.get_job_id()))

    def log_problems(self, problems: Sequence[Finding], fl_ctx: FLContext) -> None:
        """Write what is wrong with cases into the site's own log: the only place that names a patient."""
        for problem in problems:
            self.component.log_warning(fl_ctx, problem.describe(), fire_event=False)

    def close(self) -> None:
        """Free data and processes."""
        if self._participant is not None:
            self._participant.close()
        self._participant = None
