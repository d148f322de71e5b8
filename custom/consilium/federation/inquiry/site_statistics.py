"""A site's generator of histograms for FLARE's statistics executor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.statistics_spec import (
    Bin,
    DataType,
    Histogram,
    HistogramType,
    Statistics,
)
from nvflare.app_common.abstract.statistics_spec import Feature as FlareFeature

from consilium.counts import counted
from consilium.errors import Cancelled, ConfigurationError, ConsiliumError, RefusalCode, SiteRefusal
from consilium.federation.inquiry.patient_statistics import DATASET
from consilium.federation.site.local_settings import read_site_settings
from consilium.federation.site.state import StateReporter
from consilium.federation.versions import component_versions
from consilium.records.statistics import SiteAnswer
from consilium.tasks import get_task
from consilium.tasks.features import Feature

if TYPE_CHECKING:
    from consilium.participant.statistics import SiteStatistics


def histogram_config(task: str) -> dict[str, dict[str, Any]]:
    """Return bins and range of each of a task's features, as FLARE's controller wants them."""
    return {
        feature.name: {"bins": feature.bins, "range": [feature.low, feature.high]}
        for feature in get_task(task).statistics.features()
    }


class SiteStatisticsGenerator(Statistics):  # type: ignore[misc]
    """Answers FLARE's statistics executor with histograms over this site's patients.

    What FLARE's cleansers count as records are patients. The cases are read in the handshake, where a site
    without usable data says why; its features then count 0 patients, which costs the others nothing, whereas
    FLARE's controller ends the job when a site fails. Only counts and histograms with the ranges of
    `consilium.tasks.features` are answered: no sum, mean, quantile, minimum or maximum.

    Args:
        task: What is to be learned.
        min_count: Fewest patients that a number may be about; the site's own minimum counts where it is
            higher.
    """

    def __init__(self, task: str, min_count: int = 1) -> None:
        super().__init__()
        self.task = task
        self.min_count = min_count
        self._features: dict[str, Feature] = {}
        self._statistics: SiteStatistics | None = None
        self._state = StateReporter(self)

    def initialize(self, fl_ctx: FLContext) -> None:
        """Store the engine; steps that can fail wait for the handshake, where errors can be reported."""
        self._engine = fl_ctx.get_engine()

    def finalize(self, fl_ctx: FLContext) -> None:
        """Release the statistics."""
        self._statistics = None

    def pre_run(
        self,
        statistics: list[str],
        num_of_bins: dict[str, int | None] | None,
        bin_ranges: dict[str, list[float] | None] | None,
    ) -> dict[str, Any]:
        """Read this site's cases, and answer a `SiteAnswer`."""
        fl_ctx = self._engine.new_context()
        answer = self._describe(fl_ctx)
        self._state.report(fl_ctx, "ready" if answer.reason is None else "no statistics")
        return answer.model_dump(mode="json")

    def features(self) -> dict[str, list[FlareFeature]]:
        """Return the features of a task that may run here, whether or not this site has any patient."""
        return {DATASET: [FlareFeature(name, DataType.FLOAT) for name in self._features]}

    def count(self, dataset_name: str, feature_name: str) -> int:
        """Return the number of patients that have a feature; 0 for fewer than the minimum."""
        return self._statistics.count(feature_name) if self._statistics else 0

    def histogram(
        self,
        dataset_name: str,
        feature_name: str,
        num_of_bins: int,
        global_min_value: float,
        global_max_value: float,
    ) -> Histogram:
        """Return a feature's histogram; see `SiteStatistics.histogram`.

        Raises:
            ConfigurationError: If the job asks for other bins: fine ones could single a patient out.
        """
        feature = self._features[feature_name]
        asked = (num_of_bins, global_min_value, global_max_value)
        if asked != (feature.bins, feature.low, feature.high):
            raise ConfigurationError(
                f"{feature_name}: the job asks for (bins, low, high) = {asked}; this site answers "
                f"{(feature.bins, feature.low, feature.high)} and nothing else"
            )
        counts = self._statistics.histogram(feature_name) if self._statistics else [0.0] * feature.bins
        edges = feature.edges.tolist()
        bins = [Bin(*row) for row in zip(edges[:-1], edges[1:], counts, strict=True)]
        return Histogram(HistogramType.STANDARD, bins)

    def _describe(self, fl_ctx: FLContext) -> SiteAnswer:
        try:
            self._statistics = statistics = self._gather(fl_ctx)
        except Cancelled:
            raise  # FLARE's executor answers it with a return code that ends nobody else's job
        except SiteRefusal as error:
            self.log_error(fl_ctx, f"no statistics: {error}", fire_event=False)
            return self._without(error.public_reason, error.code)
        except ConsiliumError as error:
            self.log_error(fl_ctx, f"no statistics: {error}", fire_event=False)
            return self._without(
                f"{type(error).__name__}: the reason is in the site's log", RefusalCode.FAILED
            )
        except Exception as error:  # noqa: BLE001 - the FLARE boundary, as in `SiteExecutor`
            self.log_exception(fl_ctx, f"no statistics: {error}", fire_event=False)
            return self._without(
                f"unexpected {type(error).__name__}: the traceback is in the site's log", RefusalCode.FAILED
            )
        for problem in statistics.problems:
            # The site's own log: the only place that names a patient.
            self.log_warning(fl_ctx, problem.describe(), fire_event=False)
        for what, count in statistics.held_back.items():
            if count:
                self.log_info(
                    fl_ctx, f"statistics of {what}: nothing is answered about {counted(count, 'case')}"
                )
        few = not statistics.patients and statistics.held_back.get("images", 0) > 0
        return SiteAnswer(
            patients=None if few else statistics.patients,
            cases=None if few else statistics.cases,
            left_out=statistics.left_out,
            label_convention=statistics.convention,
            min_count=statistics.minimum,
            reason=None if statistics.patients else _explain(few, statistics.minimum),
            code=None if statistics.patients else _code(few),
            versions=component_versions(),
        )

    def _gather(self, fl_ctx: FLContext) -> SiteStatistics:
        # What reads images is loaded where they are: the process that checks a job has no use for it.
        from consilium.participant.statistics import gather_statistics

        abort = fl_ctx.get_run_abort_signal()
        site = read_site_settings(fl_ctx, self.task)
        task = get_task(self.task)  # which imports it: only now is it known that the hospital lists it
        self._features = {feature.name: feature for feature in task.statistics.features()}
        minimum = max(site.min_count, self.min_count)
        return gather_statistics(
            site,
            task,
            min_count=minimum,
            progress=lambda done, total, what: self._state.report_cases(
                fl_ctx, what, done, total, minimum=minimum
            ),
            cancelled=lambda: abort is not None and abort.triggered,
        )

    def _without(self, reason: str, code: RefusalCode) -> SiteAnswer:
        return SiteAnswer(
            min_count=max(1, self.min_count), reason=reason, code=code, versions=component_versions()
        )


def _code(few: bool) -> RefusalCode:
    return RefusalCode.FEW_PATIENTS if few else RefusalCode.NO_LABELED_CASE


def _explain(few: bool, minimum: int) -> str:
    """Say why there are no statistics."""
    if few:
        fewest = counted(minimum, "patient")
        return f"an answer would be about fewer than {fewest}, which min_count, its own or the job's, forbids"
    return "it has no usable case"
