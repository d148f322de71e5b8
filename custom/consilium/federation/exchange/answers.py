"""Answers of the sites to the current task."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nvflare.app_common.abstract.fl_model import FLModel
from pydantic import BaseModel, ValidationError

from consilium.errors import ConfigurationError, RefusalCode
from consilium.federation.exchange.answer_form import Absence, RejectedAnswer
from consilium.federation.message_names import ANSWER_META, LOCAL_ONLY, PREPARE, REPORT_META, TEST
from consilium.federation.updates.summed_answers import SummedAnswers, read_sum
from consilium.records.bounds import name_faults
from consilium.records.federation import SiteReport, SiteRound
from consilium.records.gain import check_gain
from consilium.records.score_bounds import read_scores
from consilium.records.score_intervals import check_intervals
from consilium.records.summed_reports import ALL_SITES
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Scores
from consilium.tasks.partial_labels import partial_evaluation

_NOT_SCORES = ("validation_cases", "test_cases")
"""Stand among the scores, as FLARE sends no answer without any; the report has the same numbers."""


class TaskAnswers:
    """The sites' answers to one task, and each site's reported number of cases.

    Attributes:
        task: The task that runs.
        round_index: The round that it belongs to, from 0.
        evaluation: Of the job's task: it knows which scores there are.
        sites: What became of each site's answer.
        scores: Of the weights that the sites received, by site.
        cases: Training cases of every site that ever said how many.
        turn: The only site that trains in this round; None where all do.
    """

    def __init__(self) -> None:
        self.task = PREPARE
        self.round_index = 0
        self.evaluation: Evaluation | None = None
        self.sites: dict[str, SiteRound] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.cases: dict[str, int] = {}
        self.turn: str | None = None
        self._missing: dict[str, frozenset[str]] = {}

    def expect(
        self,
        task: str,
        round_index: int,
        sites: list[str],
        excluded: Mapping[str, str] = MappingProxyType({}),
        absent: Mapping[str, Absence] = MappingProxyType({}),
        turn: str | None = None,
    ) -> None:
        """Forget the answers to the task before.

        Args:
            task: The task that begins.
            round_index: Its round, from 0.
            sites: Who is asked.
            excluded: Who is not any more, each with the reason.
            absent: Who is not this time, each with the reason.
            turn: Who trains, where only one site does.
        """
        self.task, self.round_index, self.turn = task, round_index, turn
        self.scores = {}
        self.sites = {site: SiteRound(outcome="no answer") for site in sites}
        self.sites |= {
            site: SiteRound(outcome="excluded", reason=reason, code=RefusalCode.EXCLUDED)
            for site, reason in excluded.items()
        }
        self.sites |= {
            site: SiteRound(outcome="excluded", reason=one.reason, code=one.code)
            for site, one in absent.items()
            if site not in excluded
        }

    def read(self, site: str, answer: FLModel) -> SiteReport:
        """Read a site's report and its scores of the weights that it received.

        Only these scores stay among the answer's metrics.

        Raises:
            RejectedAnswer: If something in it is out of bounds.
        """
        if answer.current_round != self.round_index:
            raise RejectedAnswer("its answer is of another round")
        try:
            report = SiteReport.model_validate(answer.meta.get(REPORT_META))
        except ValidationError as error:
            faults = name_faults(error, SiteReport)
            raise RejectedAnswer(f"its report can't be read; wrong is {faults}") from None
        said = {name: value for name, value in (answer.metrics or {}).items() if name not in _NOT_SCORES}
        cases = report.test_cases if self.task == TEST else report.validation_cases
        if said and (self.task in (PREPARE, LOCAL_ONLY) or not cases):
            raise RejectedAnswer("it sent scores without a model and cases to measure them on")
        try:
            evaluation = self._evaluation_at(site, report)
            answer.metrics = self._read_scores(said, cases, evaluation)
            self._check_intervals(report, answer.metrics, evaluation)
        except ValueError as error:
            raise RejectedAnswer(f"its scores can't be used: {error}", code=RefusalCode.SCORES) from None
        self._check_gain(report, evaluation)
        return report

    def _evaluation_at(self, site: str, report: SiteReport) -> Evaluation | None:
        """Return the evaluation of a site, whose labels may lack some targets; None before one is known.

        The first report counts for the whole job: a site's scores of all rounds are of the same targets.

        Raises:
            ValueError: If it reports others than at first, or targets that can't be missing.
        """
        missing = frozenset(report.missing_targets)
        if self._missing.setdefault(site, missing) != missing:
            raise ValueError("it reports other missing targets than at first")
        if self.evaluation is None or not missing:
            return self.evaluation
        if not missing <= self.evaluation.metrics.targets.keys():
            raise ValueError("it reports missing targets that are unknown")
        try:
            return partial_evaluation(self.evaluation, missing)
        except ConfigurationError:
            raise ValueError("it reports that all targets are missing") from None

    def _read_scores(
        self, said: Mapping[str, object], cases: int | None, evaluation: Evaluation | None
    ) -> Scores:
        if not said:
            return {}
        assert evaluation is not None  # set before any site is asked for scores
        return read_scores(said, evaluation, final=self.task == TEST, cases=cases)

    def _check_intervals(self, report: SiteReport, scores: Scores, evaluation: Evaluation | None) -> None:
        """Check a site's intervals, which only the report shows.

        Raises:
            ValueError: If they can't be so, or nothing was requested.
        """
        if not report.intervals:
            return
        if self.task != TEST:
            raise ValueError("it sent intervals that were not requested")
        assert evaluation is not None  # set before any site is asked for scores
        check_intervals(report.intervals, scores, evaluation)

    def _check_gain(self, report: SiteReport, evaluation: Evaluation | None) -> None:
        """Check a site's reported gain, which affects neither other sites nor model selection.

        Raises:
            RejectedAnswer: If it is inconsistent, or was not requested.
        """
        if report.gain is None:
            return
        if self.task != LOCAL_ONLY:
            raise RejectedAnswer("it sent a comparison that was not requested")
        assert evaluation is not None  # set before any site is asked for a comparison
        try:
            report.gain = check_gain(report.gain, evaluation, report.test_cases)
        except ValueError as error:
            raise RejectedAnswer(f"its comparison can't be used: {error}") from None

    def note(self, site: str, state: SiteRound, scores: Mapping[str, float] | None = None) -> None:
        """Record an answer that counts.

        Args:
            site: The site.
            state: The site's part in the round, by its answer.
            scores: Of the weights that it received; none if it keeps them to itself.
        """
        self.sites[site] = state
        if scores:
            self.scores[site] = dict(scores)
        if state.report is not None and state.report.train_cases is not None:
            self.cases[site] = state.report.train_cases

    def add_sum(self, summed: SummedAnswers) -> None:
        """Take the scores of all sites together, in place of single sites'.

        Args:
            summed: What the sites' reports add up to.

        Raises:
            ValueError: If they can't be scores; then there are none.
        """
        assert self.evaluation is not None  # set before any site is asked for scores
        self.scores = {}
        scores = read_sum(summed, self.evaluation)
        if scores:
            self.scores = {ALL_SITES: scores}

    def combine(self, scores: Mapping[str, Scores]) -> Scores:
        """Return sites' scores together, as people are shown them; empty where there are none."""
        if self.evaluation is None or not scores:
            return {}
        together = self.evaluation.combine(list(scores.values())) or {}
        return self.evaluation.metrics.without_counts(together)

    def reject(self, site: str, absence: Absence) -> None:
        """Record an answer that does not count."""
        known = self.sites.get(site, SiteRound(outcome="refused"))
        known = known.model_copy()
        known.outcome, known.reason = "refused", absence.reason  # assigned, so that the bounds hold
        known.code, known.left_out = absence.code, dict(absence.left_out)
        self.sites[site] = known

    def miss(self, site: str, reason: str) -> None:
        """Record a site that is no longer waited for."""
        self.sites[site].reason, self.sites[site].code = reason, RefusalCode.LOST

    def close(self) -> None:
        """Record the sites that have not answered as late."""
        for one in self.sites.values():
            if one.outcome == "no answer" and one.reason is None:
                one.reason = "it had not answered when the round was closed"
                one.code = RefusalCode.LATE

    def read_content(self, answer: FLModel, model: type[BaseModel]) -> BaseModel:
        """Read a site's answer to a question of the algorithm.

        Args:
            answer: The answer.
            model: What its plain values have to fit.

        Raises:
            RejectedAnswer: If something in it is out of bounds.
        """
        if answer.current_round != self.round_index:
            raise RejectedAnswer("its answer is of another round")
        if answer.metrics:
            raise RejectedAnswer("it sent scores that were not requested")
        try:
            return model.model_validate(answer.meta.get(ANSWER_META))
        except ValidationError as error:
            faults = name_faults(error, model)
            raise RejectedAnswer(f"its answer can't be read; wrong is {faults}") from None

    @property
    def contributed(self) -> list[str]:
        """The sites whose updates, or answers to the algorithm's question, were taken."""
        return [site for site, one in self.sites.items() if one.outcome in ("trained", "answered")]

    @property
    def counted(self) -> list[str]:
        """The sites that count for the quorum: where one has the turn, all that train, once it did."""
        given = self.contributed
        if self.turn is None:
            return given
        answered = [site for site in self.able if self.sites[site].outcome in ("trained", "evaluated")]
        return answered if self.turn in given else []

    @property
    def able(self) -> list[str]:
        """Sites that report that they can train."""
        return [site for site, one in self.sites.items() if one.report and one.report.role == "trains"]

    @property
    def unable(self) -> list[str]:
        """Sites that would not train if asked again."""
        return [
            site
            for site, one in self.sites.items()
            if (one.code is not None and one.code.lasts) or (one.report and one.report.role == "evaluates")
        ]

    @property
    def absent(self) -> dict[str, SiteRound]:
        """The sites that gave no answer that counts, with the reasons."""
        return {
            site: one
            for site, one in self.sites.items()
            if one.outcome in ("refused", "excluded", "no answer")
        }

    @property
    def skipped(self) -> list[str]:
        """The sites whose part is missing."""
        return sorted(site for site, one in self.sites.items() if one.outcome in ("refused", "no answer"))

    def explain_others(self, useful: list[str]) -> str:
        """Say in words why the other sites than these are no use."""
        others = [
            f"{site}: {one.reason or _in_words(one)}"
            for site, one in sorted(self.sites.items())
            if site not in useful
        ]
        return "; ".join(others) or "no other site is connected"


def _in_words(answer: SiteRound) -> str:
    return "it only evaluates" if answer.outcome in ("ready", "evaluated") else answer.outcome
