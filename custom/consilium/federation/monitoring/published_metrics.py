"""Metrics of a job, published on FLARE's data bus, and the traffic of this process."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.fuel.data_event.data_bus import DataBus
from nvflare.fuel.f3.stats_pool import StatsPoolManager
from nvflare.metrics.metrics_keys import MetricKeys, MetricTypes
from nvflare.metrics.metrics_publisher import publish_app_metrics
from pydantic import ValidationError

from consilium.federation.message_names import CHECKPOINT_EVENT
from consilium.federation.monitoring.job_events import (
    ANSWER_REFUSED,
    ANSWER_TAKEN,
    TASK_ASKED,
    TASK_CLOSED,
    event_data,
)
from consilium.records.federation import SiteReport

PREFIX: Final = "consilium"

_STATES: Final = ("asked", "answered", "refused", "no_answer")
_MIB: Final = 2**20


class PublishedMetric(NamedTuple):
    """A metric.

    Attributes:
        kind: `gauge`, a value that replaces the one before, or `counter`, to which is added.
        help: Its meaning and unit.
    """

    kind: str
    help: str


METRICS: Final = {
    "round_number": PublishedMetric(MetricTypes.GAUGE, "Round that runs, from 1."),
    "rounds_planned": PublishedMetric(MetricTypes.GAUGE, "Rounds of the job."),
    "rounds_done": PublishedMetric(MetricTypes.COUNTER, "Rounds that counted."),
    "rounds_begun": PublishedMetric(
        MetricTypes.COUNTER, "Attempts at a round; more than done where a quorum lacked."
    ),
    "round_seconds": PublishedMetric(MetricTypes.GAUGE, "Seconds of the last round that counted."),
    "sites": PublishedMetric(MetricTypes.GAUGE, "Sites by their part in the last task, tag `state`."),
    "answers": PublishedMetric(MetricTypes.COUNTER, "Answers that count, tags `site` and `task`."),
    "refusals": PublishedMetric(MetricTypes.COUNTER, "Answers that don't count, tags `site` and `task`."),
    "absences": PublishedMetric(
        MetricTypes.COUNTER, "Tasks closed without an answer, tags `site` and `task`."
    ),
    "site_task_seconds": PublishedMetric(
        MetricTypes.GAUGE, "Seconds that a site's last task took there, tag `site`."
    ),
    "site_bytes_sent": PublishedMetric(
        MetricTypes.GAUGE, "Bytes since the site's process began, tag `site`."
    ),
    "site_bytes_received": PublishedMetric(
        MetricTypes.GAUGE, "Bytes since the site's process began, tag `site`."
    ),
    "server_bytes_sent": PublishedMetric(
        MetricTypes.GAUGE, "Bytes since the job's process at the server began."
    ),
    "server_bytes_received": PublishedMetric(
        MetricTypes.GAUGE, "Bytes since the job's process at the server began."
    ),
    "checkpoint_round": PublishedMetric(MetricTypes.GAUGE, "Last durable round."),
    "checkpoint_seconds": PublishedMetric(
        MetricTypes.GAUGE, "Seconds that the last checkpoint took to write."
    ),
    "running": PublishedMetric(MetricTypes.GAUGE, "1 while the job runs, then 0."),
}
"""Every metric that the server's side of a job publishes, without the prefix. All have the tags `job_name`
and `job_id`; values are of whole sites and rounds, never of a patient."""

SITE_METRICS: Final = {
    "own_running": PublishedMetric(MetricTypes.GAUGE, "1 while the job runs at this site, then 0."),
    "own_round": PublishedMetric(MetricTypes.GAUGE, "Round that this site works on, from 1."),
    "own_tasks": PublishedMetric(MetricTypes.COUNTER, "Tasks begun, tag `task`."),
    "own_refusals": PublishedMetric(
        MetricTypes.COUNTER, "Answers that don't count, tag `by`: `site` or `server`."
    ),
    "own_cases_used": PublishedMetric(MetricTypes.GAUGE, "Cases that this site trains or validates on."),
    "own_cases_left_out": PublishedMetric(MetricTypes.GAUGE, "Cases that this site can't use."),
}
"""Every metric that a hospital's side publishes, for a monitoring of the hospital's own; none leaves its
process unless the hospital's own `resources.json` names a reporter."""


class MetricsPublisher:
    """Publishes a job's metrics on FLARE's data bus of this process.

    FLARE's `StatsDReporter` sends them on if the site's `resources.json` names one; a job can't set the
    destination. Without a reporter nothing leaves the process.

    Args:
        fl_ctx: A context of the job.
        metrics: The metrics that may be published.
    """

    def __init__(self, fl_ctx: FLContext, metrics: Mapping[str, PublishedMetric]) -> None:
        meta = fl_ctx.get_prop(FLContextKey.JOB_META) or {}
        name = str(meta.get(JobMetaKey.JOB_NAME.value, ""))
        self._tags = {"job_name": name, "job_id": str(fl_ctx.get_job_id())}
        self._metrics = metrics
        self._bus = DataBus()

    def publish(self, name: str, value: float, **tags: str) -> None:
        """Publish one value.

        Args:
            name: One of the metrics.
            value: In the metric's unit.
            tags: Beside those of the job.
        """
        publish_app_metrics(
            {name: value, MetricKeys.type: self._metrics[name].kind}, PREFIX, self._tags | tags, self._bus
        )


class JobMetrics(FLComponent):  # type: ignore[misc]
    """Publishes the metrics of a job's controller; see `METRICS`."""

    def __init__(self) -> None:
        super().__init__()
        self._publisher: MetricsPublisher | None = None
        self._task = ""
        self._asked: dict[str, str] = {}
        self._round_started = math.nan

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Publish an event."""
        handler = {
            EventType.START_RUN: self._start,
            AppEventType.ROUND_STARTED: self._start_round,
            AppEventType.ROUND_DONE: self._end_round,
            TASK_ASKED: self._ask,
            ANSWER_TAKEN: self._take,
            ANSWER_REFUSED: self._refuse,
            TASK_CLOSED: self._close,
            CHECKPOINT_EVENT: self._note_checkpoint,
            EventType.END_RUN: self._end,
        }.get(event_type)
        if handler is not None:
            handler(fl_ctx)

    def _publish(self, name: str, value: float, **tags: str) -> None:
        if self._publisher is not None:
            self._publisher.publish(name, value, **tags)

    def _start(self, fl_ctx: FLContext) -> None:
        self._publisher = MetricsPublisher(fl_ctx, METRICS)
        self._publish("running", 1)

    def _start_round(self, fl_ctx: FLContext) -> None:
        self._round_started = time.monotonic()
        self._publish("round_number", fl_ctx.get_prop(AppConstants.CURRENT_ROUND) + 1)
        self._publish("rounds_planned", fl_ctx.get_prop(AppConstants.NUM_ROUNDS))
        self._publish("rounds_begun", 1)

    def _end_round(self, fl_ctx: FLContext) -> None:
        self._publish("rounds_done", 1)
        self._publish("round_seconds", time.monotonic() - self._round_started)

    def _ask(self, fl_ctx: FLContext) -> None:
        data = event_data(fl_ctx)
        self._task, self._asked = data["task"], dict.fromkeys(data["sites"], "asked")
        self._publish_sites()

    def _take(self, fl_ctx: FLContext) -> None:
        data = event_data(fl_ctx)
        site = data["site"]
        self._asked[site] = "answered"
        self._publish("answers", 1, site=site, task=self._task)
        self._publish_report(site, data["report"])
        self._publish_sites()

    def _publish_report(self, site: str, said: Any) -> None:
        try:
            report = SiteReport.model_validate(said)
        except ValidationError:
            return  # the answer to another question, such as whether it is ready
        self._publish("site_task_seconds", report.task_seconds, site=site)
        self._publish("site_bytes_sent", report.bytes_sent, site=site)
        self._publish("site_bytes_received", report.bytes_received, site=site)

    def _refuse(self, fl_ctx: FLContext) -> None:
        site = event_data(fl_ctx)["site"]
        self._asked[site] = "refused"
        self._publish("refusals", 1, site=site, task=self._task)
        self._publish_sites()

    def _close(self, fl_ctx: FLContext) -> None:
        for site, state in self._asked.items():
            if state == "asked":
                self._asked[site] = "no_answer"
                self._publish("absences", 1, site=site, task=self._task)
        self._publish_sites()
        traffic = measure_traffic()
        self._publish("server_bytes_sent", traffic.sent)
        self._publish("server_bytes_received", traffic.received)

    def _publish_sites(self) -> None:
        counts = Counter(self._asked.values())
        for state in _STATES:
            self._publish("sites", counts[state], state=state)

    def _note_checkpoint(self, fl_ctx: FLContext) -> None:
        data = event_data(fl_ctx)
        self._publish("checkpoint_round", data["round"])
        self._publish("checkpoint_seconds", data["seconds"])

    def _end(self, fl_ctx: FLContext) -> None:
        self._publish("running", 0)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Payload bytes of all messages since the process started; without headers, TLS and TCP."""

    sent: int
    received: int


def measure_traffic() -> Traffic:
    """Add up FLARE's message size pools of this process, over all of its cells."""
    totals = {"sent_msg_sizes": 0.0, "received_msg_sizes": 0.0}
    for name, entry in StatsPoolManager.to_dict().items():
        kind = name.partition("@")[0]
        if kind in totals:
            bins = (one for category in entry["pool"]["cat_data"].values() for one in category if one)
            totals[kind] += sum(one["total"] for one in bins)
    return Traffic(*(round(value * _MIB) for value in totals.values()))
