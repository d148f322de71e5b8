"""Base of every recipe: settings, job files, and the place of each setting in them."""

from __future__ import annotations

import json
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias

from nvflare.apis.impl.controller import Controller
from nvflare.job_config.api import FedJob
from nvflare.recipe.spec import Recipe
from pydantic import Field
from typing_extensions import Self

from consilium.federation.monitoring.progress import ProgressReceiver
from consilium.federation.monitoring.published_metrics import JobMetrics
from consilium.settings import MAX_SITES, Name, Settings

JobKind = Literal["training", "readiness", "statistics", "evaluation"]

Place: TypeAlias = tuple[str | int, ...]
"""Place of a value in a job's files: `meta`, `server` or `client`, then its keys and indices."""

APP: Final = "app"
"""Name of the one app of a job, which server and sites get alike."""

SERVER_CONFIG: Final = "config/config_fed_server.json"
CLIENT_CONFIG: Final = "config/config_fed_client.json"
META: Final = "meta.json"

TASK_REQUEST_PLACE: Final[Place] = ("server", "server", "task_request_interval")
LEARNING_PLACE: Final[Place] = ("client", "executors", 0, "executor", "args", "learning")
"""What every site trains; the server's copy of it must be the same."""

_PIECE_BYTES = 120 * 1024
"""Size of the pieces of a model or an update: what the server holds for each site that it serves at a time.
With FLARE's framing a piece fits the 128 KiB that a kit's `comm_config.json` sends at once."""

_REQUEST_SECONDS = 120.0
"""Timeout of a piece before it is requested again. FLARE's default is 600 s, which a site would wait after a
lost connection, because an answer that can't be delivered is dropped and not repeated."""


class JobSettings(Settings):
    """Settings of every job."""

    name: Name = Field(description="The job's name, and its folder's.")
    min_sites: int = Field(
        default=2, ge=1, le=MAX_SITES, description="Fewest sites that the job can do with."
    )
    task_request_seconds: float = Field(
        default=1.0, ge=0.1, le=60, description="How often a waiting site asks for a task: 3.4 KB each."
    )


@dataclass(frozen=True)
class JobFiles:
    """The JSON content of a job's three files.

    Attributes:
        meta: `meta.json`.
        server: The configuration of the server's side.
        client: The configuration of every site's side.
    """

    meta: Any
    server: Any
    client: Any


class JobRecipe(Recipe):  # type: ignore[misc]
    """A job of Consilium: configuration only; the code is the wheel that each site has installed.

    The same object runs in FLARE's simulator, in POC mode and on provisioned sites, and exports the job's
    folder.

    Args:
        settings: What the job decides.
        job: The parts that the settings ask for.
    """

    kind: ClassVar[JobKind]
    settings_type: ClassVar[type[JobSettings]]
    controller: ClassVar[type[Controller]]
    """The job's only workflow, by which a job's files are known to be this recipe's."""

    places: ClassVar[Mapping[str, Place]]
    """Setting to where it is in the files that the recipe writes."""

    def __init__(self, settings: JobSettings, job: FedJob) -> None:
        self.settings = settings
        super().__init__(job)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, source: str) -> Self:
        """Build a recipe from plain values.

        Raises:
            ConfigurationError: If a value can't be used or a key is unknown.
        """
        # Every recipe takes its settings alone, and makes the job of them.
        return cls(cls.settings_type.parse(values, source=source))  # type: ignore[call-arg]

    def files(self) -> JobFiles:
        """Return the content of the job's files."""
        with tempfile.TemporaryDirectory() as folder:
            self._job.export_job(folder)
            job = Path(folder) / self.settings.name
            meta, server, client = (
                json.loads((job / name).read_bytes())
                for name in (META, f"{APP}/{SERVER_CONFIG}", f"{APP}/{CLIENT_CONFIG}")
            )
        return JobFiles(meta, server, client)

    @property
    @abstractmethod
    def summary(self) -> str:
        """What the job does, in one line for `consilium jobs list`."""


def new_job(settings: JobSettings, meta: Mapping[str, Any] | None = None) -> FedJob:
    """Return a job without code, with the components of every job: progress record and metrics.

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
