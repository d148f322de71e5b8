"""Recipe of federated statistics of the hospitals' data."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from nvflare.app_common.app_constant import StatisticsConstants
from nvflare.app_common.executors.statistics.statistics_executor import StatisticsExecutor
from nvflare.app_common.filters.statistics_privacy_filter import StatisticsPrivacyFilter
from nvflare.app_common.statistics.histogram_bins_cleanser import HistogramBinsCleanser
from nvflare.app_common.statistics.min_count_cleanser import MinCountCleanser
from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from nvflare.job_config.defs import FilterType
from pydantic import Field, field_validator

from consilium.counts import counted
from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError
from consilium.federation.inquiry.patient_statistics import PatientStatistics
from consilium.federation.inquiry.site_statistics import (
    SiteStatisticsGenerator,
    histogram_config,
)
from consilium.federation.inquiry.statistics_recorder import StatisticsRecorder
from consilium.federation.message_names import SITE_STATE_EVENT
from consilium.recipes.base import JobRecipe, JobSettings, Place, new_job
from consilium.settings import MINUTES_PER_YEAR, Name
from consilium.tasks import get_task

_RECORDED: Final[Place] = ("server", "components", 2, "args")


class StatisticsSettings(JobSettings):
    """Settings of a statistics job; with fewer answers than `min_sites` it ends."""

    task: Name = DEFAULT
    min_count: int = Field(
        default=5,
        ge=1,
        le=1_000_000,
        description="Fewest patients that a number may be about; sites may demand more.",
    )
    max_bins_percent: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Drop histograms with more bins than this percentage of a site's patients.",
    )
    wait_minutes: float = Field(
        default=120.0,
        ge=0,
        le=MINUTES_PER_YEAR,
        description="How long to wait for the others once `min_sites` have answered a question.",
    )

    @field_validator("task")
    @classmethod
    def _known_task(cls, name: str) -> str:
        try:
            return get_task(name).name
        except ConfigurationError as error:
            raise ValueError(str(error)) from None


class StatisticsRecipe(JobRecipe):
    """Hospitals return histograms over their patients, with no number below a minimum.

    Built around FLARE's statistics controller, executor and privacy cleansers around a generator of our own.

    Example:
        >>> recipe = StatisticsRecipe(StatisticsSettings(name="my_stats", min_count=8))
        >>> recipe.name
        'my_stats'

    Args:
        settings: What the job decides.
    """

    kind = "statistics"
    settings_type = StatisticsSettings
    controller = PatientStatistics
    places = MappingProxyType(
        {
            "name": ("meta", "name"),
            "task": (*_RECORDED, "task"),
            **{
                setting: (*_RECORDED, "settings", setting)
                for setting in StatisticsSettings.model_fields
                if setting not in ("name", "task")
            },
        }
    )

    settings: StatisticsSettings

    def __init__(self, settings: StatisticsSettings) -> None:
        job = new_job(settings)
        job.to_server(
            PatientStatistics(
                statistic_configs={
                    StatisticsConstants.STATS_COUNT: {},
                    StatisticsConstants.STATS_HISTOGRAM: histogram_config(settings.task),
                },
                writer_id="recorder",
                wait_time_after_min_received=round(settings.wait_minutes * 60),
                min_clients=settings.min_sites,
            ),
            id="statistics",
        )
        job.to_server(
            StatisticsRecorder(
                task=settings.task,
                settings=settings.model_dump(mode="json", exclude={"name", "task"}),
            ),
            id="recorder",
        )
        job.to_clients(
            StatisticsExecutor(generator_id="generator"),
            tasks=[StatisticsConstants.FED_STATS_PRE_RUN, StatisticsConstants.FED_STATS_TASK],
        )
        job.to_clients(
            SiteStatisticsGenerator(task=settings.task, min_count=settings.min_count), id="generator"
        )
        cleansers = {"min_count_cleanser": MinCountCleanser(min_count=settings.min_count)}
        if settings.max_bins_percent is not None:
            cleansers["bins_cleanser"] = HistogramBinsCleanser(max_bins_percent=settings.max_bins_percent)
        for name, cleanser in cleansers.items():
            job.to_clients(cleanser, id=name)
        # Not for the handshake: the filter takes every result for statistics, and fails on another.
        job.to_clients(
            StatisticsPrivacyFilter(result_cleanser_ids=list(cleansers)),
            filter_type=FilterType.TASK_RESULT,
            tasks=[StatisticsConstants.FED_STATS_TASK],
        )
        job.to_clients(ConvertToFedEvent(events_to_convert=[SITE_STATE_EVENT]), id="events")
        super().__init__(settings, job)

    @property
    def summary(self) -> str:
        """What the job counts."""
        return (
            f"histograms over patients before any training, none about fewer than {self.settings.min_count}, "
            f"at least {counted(self.settings.min_sites, 'site')}"
        )
