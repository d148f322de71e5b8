"""Federated averaging of one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from nvflare.app_common.widgets.metrics_artifact_writer import MetricsArtifactWriter
from nvflare.app_common.widgets.streaming import ANALYTIC_EVENT_TYPE
from nvflare.app_opt.tracking.tb.tb_receiver import TBAnalyticsReceiver
from nvflare.job_config.api import FedJob
from nvflare.recipe.spec import Recipe
from pydantic import Field

from consilium.federation.controller import FederatedTraining
from consilium.federation.executor import SiteExecutor
from consilium.federation.persistor import WeightsPersistor
from consilium.federation.progress import ProgressReceiver
from consilium.federation.tasks import PREPARE, SITE_STATE_EVENT, SUBMIT_MODEL, TRAIN, VALIDATE
from consilium.learning.settings import LearningSettings
from consilium.settings import Settings


class FedAvgSettings(Settings):
    """Everything that a federated averaging job decides."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="The job's name, and its folder's.")
    rounds: int = Field(default=10, ge=1, le=10_000)
    min_sites: int = Field(default=2, ge=1, description="Fewest sites whose updates make a round.")
    learning: LearningSettings = LearningSettings()


class FedAvgRecipe(Recipe):  # type: ignore[misc]
    """Hospitals train one model; the server averages their updates, weighted by training cases.

    The same object runs in FLARE's simulator, in POC mode and on provisioned sites, and exports the job's
    folder. The job is configuration only: the code is the wheel that each site has installed.

    Example:
        >>> recipe = FedAvgRecipe(FedAvgSettings(name="my_job", rounds=3))
        >>> recipe.name
        'my_job'

    Args:
        settings: What the job decides.
    """

    def __init__(self, settings: FedAvgSettings) -> None:
        self.settings = settings
        # `mode="json"`: what a job holds are numbers, texts and lists, nothing that a site would have to
        # construct.
        learning = settings.learning.model_dump(mode="json")
        job = FedJob(name=settings.name, min_clients=settings.min_sites)
        # Without this, FLARE would copy our sources into the job's `custom` folder and make it
        # bring-your-own-code.
        job.set_app_packages(["consilium"])
        # How often a site asks for its next task, in s; FLARE's 2 s are most of a short round's overhead.
        job.to_server({"server": {"task_request_interval": 1.0}})
        job.to_server(FederatedTraining(rounds=settings.rounds, min_sites=settings.min_sites), id="training")
        job.to_server(WeightsPersistor(learning=learning), id="persistor")
        job.to_server(ProgressReceiver(), id="progress")
        job.to_server(MetricsArtifactWriter(), id="metrics")
        job.to_server(TBAnalyticsReceiver(events=[f"fed.{ANALYTIC_EVENT_TYPE}"]), id="tensorboard")
        job.to_clients(SiteExecutor(learning=learning), tasks=[PREPARE, TRAIN, VALIDATE, SUBMIT_MODEL])
        job.to_clients(
            ConvertToFedEvent(events_to_convert=[ANALYTIC_EVENT_TYPE, SITE_STATE_EVENT]), id="events"
        )
        super().__init__(job)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, source: str) -> FedAvgRecipe:
        """Build a recipe from plain values.

        Raises:
            ConfigurationError: If a value can't be used or a key is unknown.
        """
        return cls(FedAvgSettings.parse(values, source=source))
