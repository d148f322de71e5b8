"""The server's record of a statistics job: the sites' histograms, and missing sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.abstract.statistics_writer import StatisticsWriter
from nvflare.app_common.app_constant import StatisticsConstants
from pydantic import ValidationError

from consilium.errors import RefusalCode
from consilium.federation.component_state import Running
from consilium.federation.inquiry.patient_statistics import DATASET
from consilium.federation.monitoring.job_events import ANSWER_REFUSED, event_data
from consilium.federation.versions import component_versions
from consilium.records.bounds import MissingSite, known_word, name_faults
from consilium.records.statistics import FeatureRecord, SiteAnswer, SiteHistogram, StatisticsRecord
from consilium.tasks import get_task
from consilium.tasks.features import Feature


class StatisticsRecorder(StatisticsWriter):  # type: ignore[misc]
    """Writes `statistics.json` from FLARE's results and the sites' handshakes.

    The controller has looked at what comes from sites; whom it left out is missing, with the reason.

    Args:
        task: What is to be learned.
        settings: The job's, for the record.
    """

    def __init__(self, task: str, settings: dict[str, Any]) -> None:
        super().__init__()
        self.task = task
        self.settings = settings
        self._features = {feature.name: feature for feature in get_task(task).statistics.features()}
        self._record = Running[StatisticsRecord]()
        self._folder = Path()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begin the record, take handshakes, and complete it if the controller did not finish."""
        if event_type == EventType.START_RUN:
            self._start(fl_ctx)
        elif event_type == EventType.PRE_RUN_RESULT_AVAILABLE:
            for site, answer in fl_ctx.get_prop(StatisticsConstants.PRE_RUN_RESULT).items():
                self._take(site, answer.data, fl_ctx)
        elif event_type == ANSWER_REFUSED:
            self._leave_out(event_data(fl_ctx))
        elif event_type == EventType.END_RUN and self._record.begun:
            record = self._record.value
            if record.status == "running":
                record.status = "failed"
                record.reason = "it ended before enough sites had answered; the server's log says more"
                self._note_missing(fl_ctx)
                record.save(self._folder)

    def save(self, data: dict[str, Any], overwrite_existing: bool, fl_ctx: FLContext) -> None:
        """Complete the record with all sites' histograms.

        Args:
            data: Feature to statistic to site to data set to value, as FLARE's controller combines them.
            overwrite_existing: Always the case here.
            fl_ctx: A context of the job.
        """
        record = self._record.value
        record.features = {
            name: _feature_record(feature, data.get(name, {})) for name, feature in self._features.items()
        }
        self._note_missing(fl_ctx)
        abort = fl_ctx.get_run_abort_signal()
        if abort is not None and abort.triggered:  # FLARE's controller combines what it has by then
            record.status, record.reason = "failed", "aborted before all sites had answered"
        else:
            record.status = "finished"
        record.save(self._folder)
        for site, reason in record.missing.items():
            self.log_warning(fl_ctx, f"no statistics of {site}: {reason}")

    def _start(self, fl_ctx: FLContext) -> None:
        self._folder = Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id()))
        task = get_task(self.task)
        record = StatisticsRecord(
            job=fl_ctx.get_prop(FLContextKey.JOB_META)[JobMetaKey.JOB_NAME],
            task=self.task,
            title=task.title,
            drift=task.statistics.drift,
            settings=self.settings,
            versions=component_versions(),
        )
        self._record.begin(record).save(self._folder)

    def _take(self, site: str, answer: Any, fl_ctx: FLContext) -> None:
        record = self._record.value
        try:
            read = SiteAnswer.model_validate(answer)
            read.label_convention = known_word(read.label_convention, get_task(self.task).cases.conventions)
            record.sites[site] = read
        except ValidationError as error:
            faults = f"its answer can't be read; wrong is {name_faults(error, SiteAnswer)}"
            record.missing[site] = MissingSite(reason=faults, code=RefusalCode.ANSWER)
        record.save(self._folder)

    def _leave_out(self, refusal: Mapping[str, Any]) -> None:
        record = self._record.value
        record.missing[refusal["site"]] = MissingSite(reason=refusal["reason"], code=refusal["code"])
        record.sites.pop(refusal["site"], None)
        record.save(self._folder)

    def _note_missing(self, fl_ctx: FLContext) -> None:
        record = self._record.value
        reported = record.reporting
        for site in (client.name for client in fl_ctx.get_engine().get_clients()):
            if site in reported or site in record.missing:
                continue
            answer = record.sites.get(site)
            if answer is None:
                failed = "its task failed or did not end; the site's log may say why"
                record.missing[site] = MissingSite(reason=failed, code=RefusalCode.FAILED)
            elif answer.reason is not None:
                record.missing[site] = MissingSite(reason=answer.reason, code=answer.code)
            else:
                silent = "it said that it is ready, but no statistics came"
                record.missing[site] = MissingSite(reason=silent, code=RefusalCode.ANSWER)


def _feature_record(feature: Feature, statistics: Mapping[str, Any]) -> FeatureRecord:
    return FeatureRecord(
        group=feature.group,
        of=feature.of,
        title=feature.title,
        low=feature.low,
        high=feature.high,
        sites=dict(_usable_histograms(feature, statistics)),
    )


def _usable_histograms(
    feature: Feature, statistics: Mapping[str, Any]
) -> Iterator[tuple[str, SiteHistogram]]:
    """The sites' histograms, without invalid ones."""
    counts = statistics.get(StatisticsConstants.STATS_COUNT, {})
    for site, datasets in statistics.get(StatisticsConstants.STATS_HISTOGRAM, {}).items():
        if site == StatisticsConstants.GLOBAL:
            continue
        bins = [one.sample_count for one in datasets.get(DATASET, [])]
        try:
            histogram = SiteHistogram(patients=counts.get(site, {}).get(DATASET), bins=bins)
        except ValidationError:
            continue
        if len(bins) == feature.bins:
            yield site, histogram
