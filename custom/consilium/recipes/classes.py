"""Classes that jobs may name: those of all recipes."""

from __future__ import annotations

from typing import Final

from nvflare.app_common.executors.statistics.statistics_executor import StatisticsExecutor
from nvflare.app_common.filters.statistics_privacy_filter import StatisticsPrivacyFilter
from nvflare.app_common.statistics.histogram_bins_cleanser import HistogramBinsCleanser
from nvflare.app_common.statistics.min_count_cleanser import MinCountCleanser
from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from nvflare.app_common.widgets.metrics_artifact_writer import MetricsArtifactWriter

from consilium.federation.inquiry.model_evaluation import ModelEvaluation
from consilium.federation.inquiry.patient_statistics import PatientStatistics
from consilium.federation.inquiry.readiness import ReadinessCheck
from consilium.federation.inquiry.site_statistics import SiteStatisticsGenerator
from consilium.federation.inquiry.statistics_recorder import StatisticsRecorder
from consilium.federation.monitoring.curves import ScoreCurves
from consilium.federation.monitoring.progress import ProgressReceiver
from consilium.federation.monitoring.published_metrics import JobMetrics
from consilium.federation.rounds.controller import FederatedTraining
from consilium.federation.rounds.persistor import WeightsPersistor
from consilium.federation.site.executor import SiteExecutor


def class_path(kind: type) -> str:
    """Return the path by which a job names a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


SERVER_CLASSES: Final = tuple(
    class_path(kind)
    for kind in (
        FederatedTraining,
        ReadinessCheck,
        ModelEvaluation,
        PatientStatistics,
        ProgressReceiver,
        JobMetrics,
        WeightsPersistor,
        MetricsArtifactWriter,
        ScoreCurves,
        StatisticsRecorder,
    )
)
"""What the server builds."""

CLIENT_CLASSES: Final = tuple(
    class_path(kind)
    for kind in (
        SiteExecutor,
        ConvertToFedEvent,
        StatisticsExecutor,
        SiteStatisticsGenerator,
        MinCountCleanser,
        HistogramBinsCleanser,
        StatisticsPrivacyFilter,
    )
)
"""What a hospital builds."""
