"""What every recipe of the catalog has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from nvflare.job_config.api import FedJob
from nvflare.recipe.spec import Recipe
from pydantic import Field
from typing_extensions import Self

from consilium.federation.monitoring.metrics import JobMetrics
from consilium.federation.monitoring.progress import ProgressReceiver
from consilium.settings import Settings

_PIECE_BYTES = 120 * 1024
"""Of a model or an update that travel: what a server holds for each of the sites that it serves at once. With
what FLARE writes around it, it fits the 128 KiB that a kit's `comm_config.json` sends at a time."""

_REQUEST_SECONDS = 120.0
"""How long a piece may be under way before it is asked for again. FLARE waits 600 s for one that the server
sent while the site's line was cut: such an answer is dropped, not repeated."""


class JobSettings(Settings):
    """What every job decides."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="The job's name, and its folder's.")
    min_sites: int = Field(default=2, ge=1, description="Fewest sites that the job can do with.")
    task_request_seconds: float = Field(
        default=1.0, ge=0.1, le=60, description="How often a waiting site asks for a task: 3.4 KB each."
    )


class JobRecipe(Recipe):  # type: ignore[misc]
    """A job of Consilium: configuration only; the code is the wheel that each site has installed.

    The same object runs in FLARE's simulator, in POC mode and on provisioned sites, and exports the job's
    folder.

    Args:
        settings: What the job decides.
        job: The parts that the settings ask for.
    """

    def __init__(self, settings: JobSettings, job: FedJob) -> None:
        self.settings = settings
        super().__init__(job)

    @classmethod
    @abstractmethod
    def from_values(cls, values: Mapping[str, Any], *, source: str) -> Self:
        """Build a recipe from plain values.

        Raises:
            ConfigurationError: If a value can't be used or a key is unknown.
        """

    @property
    @abstractmethod
    def summary(self) -> str:
        """What the job does, in one line for `consilium jobs list`."""


def new_job(settings: JobSettings, meta: Mapping[str, Any] | None = None) -> FedJob:
    """Return a job that brings no code, with what every job has: a record of its progress, and metrics.

    Args:
        settings: What the job decides.
        meta: More entries of its `meta.json`.
    """
    job = FedJob(name=settings.name, min_clients=settings.min_sites, meta_props=dict(meta or {}))
    # Without this, FLARE would copy our sources into the job's `custom` folder and make it
    # bring-your-own-code.
    job.set_app_packages(["consilium"])
    job.to_server({"server": {"task_request_interval": settings.task_request_seconds}})
    for to_all in (job.to_server, job.to_clients):
        to_all({"np_download_chunk_size": _PIECE_BYTES})
        to_all({"np_streaming_per_request_timeout": _REQUEST_SECONDS})
    job.to_server(ProgressReceiver(), id="progress")
    job.to_server(JobMetrics(), id="monitoring")
    return job
