"""FLARE's statistics controller, extended to continue without sites that fail or send invalid answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.statistics_spec import Bin, Histogram, HistogramType
from nvflare.app_common.app_constant import StatisticsConstants
from nvflare.app_common.workflows.statistics_controller import StatisticsController
from nvflare.fuel.utils import fobs
from pydantic import ValidationError

from consilium.counts import counted
from consilium.federation.exchange.answer_form import RejectedAnswer, read_refusal
from consilium.federation.monitoring.job_events import ANSWER_REFUSED
from consilium.federation.replacement import require_known
from consilium.federation.transport.message_checks import BROKEN_ANSWER
from consilium.federation.transport.set_up import limit_job_messages
from consilium.records.bounds import MOST_CASES, name_faults
from consilium.records.statistics import ROUNDING, SiteAnswer, SiteHistogram
from consilium.records.texts import clean_text

DATASET: Final = "cases"
"""Name under which FLARE files the features: a site has one data set."""

_MOST_BYTES = 1024 * 1024
"""Of one site's statistics, as FLARE packs them; those of all features have 40 kB."""

_FEATURES = dict[str, Any]


class PatientStatistics(StatisticsController):  # type: ignore[misc]
    """Asks every site for counts and histograms with public ranges, and keeps what is in bounds.

    FLARE's own controller ends the job for all when one site fails, when what it sends can't be read, and
    when it says that a feature has another range than the job's: the others are then asked for bins that no
    site answers. Here such a site is left out with its reason, and all that it said before with it.

    The arguments are FLARE's.
    """

    def __init__(
        self,
        statistic_configs: dict[str, dict[str, Any]],
        writer_id: str,
        wait_time_after_min_received: int = 1,
        min_clients: int | None = None,
    ) -> None:
        require_known(StatisticsController)
        super().__init__(
            statistic_configs=statistic_configs,
            writer_id=writer_id,
            wait_time_after_min_received=wait_time_after_min_received,
            min_clients=min_clients,
        )
        self._left_out: set[str] = set()

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Start, and let no message in that brings arrays or more than statistics have.

        Raises:
            ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
        """
        engine = fl_ctx.get_engine()
        limit_job_messages(engine, Path(engine.get_workspace().get_run_dir(fl_ctx.get_job_id())))
        super().start_controller(fl_ctx)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Leave a site out that sent something else instead of an answer."""
        super().handle_event(event_type, fl_ctx)
        if event_type == BROKEN_ANSWER:
            data = fl_ctx.get_prop(FLContextKey.EVENT_DATA)
            self._leave_out(data["site"], RejectedAnswer(data["reason"]), fl_ctx)

    def results_pre_run_cb(self, client_task: ClientTask, fl_ctx: FLContext) -> None:
        """Take a site's handshake, which accompanies its statistics."""
        site, result, client_task.result = client_task.client.name, client_task.result, None
        try:
            answer = read_handshake(result)
        except RejectedAnswer as error:
            self._leave_out(site, error, fl_ctx)
            return
        self.client_handshake_ok = {site: True}
        said = {site: DXO(DataKind.STATISTICS, data=answer.model_dump(mode="json"))}
        fl_ctx.set_prop(StatisticsConstants.PRE_RUN_RESULT, said)
        self.fire_event(EventType.PRE_RUN_RESULT_AVAILABLE, fl_ctx)

    def results_cb(self, client_task: ClientTask, fl_ctx: FLContext) -> None:
        """Take a site's statistics."""
        site, result, client_task.result = client_task.client.name, client_task.result, None
        stage = client_task.task.props[StatisticsConstants.STATISTICS_TASK_KEY]
        self.result_cb_status[site] = {stage: True}
        if site in self._left_out:
            return
        try:
            statistics = read_statistics(
                result, stage, self.statistic_configs[StatisticsConstants.STATS_HISTOGRAM]
            )
        except RejectedAnswer as error:
            self._leave_out(site, error, fl_ctx)
            return
        for name, values in statistics.items():
            self.client_statistics.setdefault(name, {})[site] = {DATASET: values}

    def _leave_out(self, site: str, refusal: RejectedAnswer, fl_ctx: FLContext) -> None:
        reason = clean_text(str(refusal))
        self._left_out.add(site)
        for sites in self.client_statistics.values():
            sites.pop(site, None)
        self.log_warning(fl_ctx, f"{site}: {reason}", fire_event=False)
        data = {"site": site, "reason": reason, "code": refusal.code.value}
        self.fire_event_with_data(ANSWER_REFUSED, fl_ctx, FLContextKey.EVENT_DATA, data)


def read_handshake(result: Any) -> SiteAnswer:
    """Read a site's handshake, which accompanies its statistics.

    Raises:
        RejectedAnswer: If it failed, or says something else; with the reason.
    """
    content = _read_content(result)
    try:
        return SiteAnswer.model_validate(content)
    except ValidationError as error:
        faults = name_faults(error, SiteAnswer)
        raise RejectedAnswer(f"its answer can't be read; wrong is {faults}") from None


def read_statistics(
    result: Any, stage: str, features: Mapping[str, Mapping[str, Any]]
) -> dict[str, _FEATURES]:
    """Read a site's statistics.

    Args:
        result: What it sent.
        stage: Which of FLARE's two questions it answers.
        features: `bins` and `range` of each feature that the job asks for.

    Returns:
        Statistic to feature to value: counts, histograms with the job's edges, and the job's own ranges.

    Raises:
        RejectedAnswer: If the site failed, or sent an invalid answer; with the reason.
    """
    content = _read_content(result)
    packed = content.get(stage)
    if content.get(StatisticsConstants.STATISTICS_TASK_KEY) != stage or not isinstance(packed, bytes):
        raise RejectedAnswer("its statistics can't be read: they are of another question")
    if len(packed) > _MOST_BYTES:
        raise RejectedAnswer(
            f"its statistics have {counted(len(packed), 'byte')}, and {_MOST_BYTES} are allowed"
        )
    try:
        unpacked = fobs.loads(packed)
    except Exception as error:  # noqa: BLE001 - the FLARE boundary: a site sends what it likes
        raise RejectedAnswer(f"its statistics can't be read ({type(error).__name__})") from None
    if not isinstance(unpacked, dict):
        raise RejectedAnswer("its statistics can't be read: they have no names")
    said = {name: _of_dataset(values, features) for name, values in unpacked.items()}
    counts = _read_counts(said.get(StatisticsConstants.STATS_COUNT, {}))
    low, high = ({name: one["range"][end] for name, one in features.items()} for end in (0, 1))
    for name, limits in ((StatisticsConstants.STATS_MIN, low), (StatisticsConstants.STATS_MAX, high)):
        sent = said.get(name, {})
        if any(type(value) not in (int, float) or value != limits[one] for one, value in sent.items()):
            raise RejectedAnswer("it says that a feature has another range than the job's")
    histograms = {
        name: _read_histogram(name, value, counts.get(name, 0), features[name])
        for name, value in said.get(StatisticsConstants.STATS_HISTOGRAM, {}).items()
    }
    read = {
        StatisticsConstants.STATS_COUNT: counts,
        StatisticsConstants.STATS_HISTOGRAM: histograms,
        StatisticsConstants.STATS_MIN: low,
        StatisticsConstants.STATS_MAX: high,
    }
    return {name: read[name] for name in said if name in read}


def _read_content(result: Any) -> dict[str, Any]:
    refusal = read_refusal(result)
    if refusal is not None:
        raise RejectedAnswer(refusal[1].reason, code=refusal[1].code)
    try:
        content = from_shareable(result).data
    except Exception as error:  # noqa: BLE001 - the FLARE boundary: a site sends what it likes
        raise RejectedAnswer(f"its answer can't be read ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise RejectedAnswer("its answer can't be read: it has no names")
    return content


def _of_dataset(values: Any, features: Mapping[str, Any]) -> _FEATURES:
    """Return one statistic's values by feature; FLARE has data sets above them."""
    if not isinstance(values, dict) or not values.keys() <= {DATASET}:
        raise RejectedAnswer("its statistics are of other data sets than the job's")
    of_features = values.get(DATASET, {})
    if not isinstance(of_features, dict) or not of_features.keys() <= features.keys():
        raise RejectedAnswer("its statistics are of other features than the job's")
    return of_features


def _read_counts(counts: _FEATURES) -> dict[str, int]:
    if not all(type(count) is int and 0 <= count <= MOST_CASES for count in counts.values()):
        raise RejectedAnswer("a number of its patients is out of bounds")
    return counts


def _read_histogram(name: str, histogram: Any, patients: int, feature: Mapping[str, Any]) -> Histogram:
    low, high = feature["range"]
    width = (high - low) / feature["bins"]
    try:
        counts = [one.sample_count for one in histogram.bins]
        bins = SiteHistogram.model_validate({"patients": patients, "bins": counts}).bins
    except (AttributeError, TypeError, ValueError):
        raise RejectedAnswer(f"its histogram of {name} can't be read") from None
    if len(bins) != feature["bins"]:
        raise RejectedAnswer(
            f"its histogram of {name} has {counted(len(bins), 'bin')}, and the job asks for {feature['bins']}"
        )
    if sum(bins) > patients + ROUNDING:
        raise RejectedAnswer(f"its histogram of {name} counts more patients than it has")
    edges = [low + width * place for place in range(feature["bins"])] + [high]
    return Histogram(
        HistogramType.STANDARD, [Bin(*row) for row in zip(edges[:-1], edges[1:], bins, strict=True)]
    )
