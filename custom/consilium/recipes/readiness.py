"""Recipe of the readiness check."""

from __future__ import annotations

from types import MappingProxyType

from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from pydantic import Field

from consilium.federation.inquiry.readiness import ReadinessCheck
from consilium.federation.message_names import CHECK, SITE_STATE_EVENT
from consilium.federation.site.executor import SiteExecutor
from consilium.recipes.base import (
    LEARNING_PLACE,
    TASK_REQUEST_PLACE,
    JobRecipe,
    JobSettings,
    new_job,
)
from consilium.settings import MINUTES_PER_YEAR
from consilium.tasks import TaskLearning


class ReadinessSettings(JobSettings):
    """Settings of a readiness check."""

    timeout_minutes: float = Field(
        default=240.0, gt=0, le=MINUTES_PER_YEAR, description="How long sites may take."
    )
    learning: TaskLearning


class ReadinessRecipe(JobRecipe):
    """Every site checks its data as before training, and returns counts and codes.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my check")
        >>> recipe = ReadinessRecipe(ReadinessSettings(name="my_check", learning=learning))
        >>> recipe.name
        'my_check'

    Args:
        settings: What the job decides; `learning` is that of the training to come.
    """

    kind = "readiness"
    settings_type = ReadinessSettings
    controller = ReadinessCheck
    places = MappingProxyType(
        {
            "name": ("meta", "name"),
            "min_sites": ("meta", "min_clients"),
            "task_request_seconds": TASK_REQUEST_PLACE,
            "timeout_minutes": ("server", "workflows", 0, "args", "timeout_minutes"),
            "learning": LEARNING_PLACE,
        }
    )

    settings: ReadinessSettings

    def __init__(self, settings: ReadinessSettings) -> None:
        job = new_job(settings)
        check = ReadinessCheck(task=settings.learning.task, timeout_minutes=settings.timeout_minutes)
        job.to_server(check, id="readiness")
        job.to_clients(SiteExecutor(learning=settings.learning.model_dump(mode="json")), tasks=[CHECK])
        job.to_clients(ConvertToFedEvent(events_to_convert=[SITE_STATE_EVENT]), id="events")
        super().__init__(settings, job)

    @property
    def summary(self) -> str:
        """Summary of the job."""
        return f"whether every site is ready to train: {self.settings.learning.summary}"
