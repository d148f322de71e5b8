"""Requirements of a job for a hospital's machine."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvflare.apis.job_def import JobMetaKey
from nvflare.utils.job_launcher_utils import get_resource_manager_spec

from consilium.default_task import training_job
from consilium.errors import ConfigurationError
from consilium.guard.job_rules import class_paths
from consilium.learning.algorithms import DEFAULT_ALGORITHM
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.device import process_count
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.promise import PrivacyPromise
from consilium.recipes.exported_job import changed_job, job_kind, read_exported_job, read_recipe
from consilium.recipes.job_folder import job_folder
from consilium.settings import apply_changes
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.registry import only_listed_tasks


@dataclass(frozen=True)
class SiteJob:
    """A job as a site sees it.

    Attributes:
        name: The job's name.
        learning: What it trains.
        classes: Class paths that it has a site build.
        meta: Its `meta.json`.
        promise: What it offers the site's patients.
        min_sites: Fewest sites whose updates make a round.
        algorithm: What it decides about its algorithm.
        rounds: Rounds of training.
    """

    name: str
    learning: LearningSettings
    classes: tuple[str, ...]
    meta: Mapping[str, Any]
    promise: PrivacyPromise = field(default_factory=PrivacyPromise)
    min_sites: int = 1
    algorithm: AlgorithmSettings = DEFAULT_ALGORITHM
    rounds: int = 1

    @property
    def scope(self) -> str | None:
        """The privacy scope that it runs in; None for the site's default."""
        return self.meta.get(JobMetaKey.SCOPE.value) or None

    def processes_at(self, site_name: str, site: SiteSettings) -> int:
        """Return how many processes would train at a site: its own setting, within the GPUs and the batch.

        Raises:
            ConfigurationError: If the site's settings ask for more processes than it has GPUs.
        """
        if site.role == "evaluates":
            return 1
        granted = process_count(site)
        return min(granted, self.gpus_at(site_name) or granted, self.learning.batch_size)

    def share_of_process(self, processes: int) -> LearningSettings:
        """Return the learning settings with the part of a batch that each of so many processes takes."""
        return self.learning.model_copy(
            update={"batch_size": math.ceil(self.learning.batch_size / processes)}
        )

    def gpus_at(self, site_name: str) -> int:
        """Return how many GPUs it asks of a site."""
        return int(get_resource_manager_spec(dict(self.meta), site_name).get("num_of_gpus", 0))

    def gpu_memory_at(self, site_name: str) -> float:
        """Return how much memory it asks of each GPU of a site, in GiB; 0 if it does not say."""
        return float(get_resource_manager_spec(dict(self.meta), site_name).get("mem_per_gpu_in_GiB", 0))


def load_site_job(
    name_or_folder: str,
    *,
    listed: Collection[str] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> SiteJob:
    """Read what a job asks of a site.

    Args:
        name_or_folder: The folder of an exported job, or a name of `consilium jobs list`.
        listed: Tasks of other packages that the site's policy lists: no other package is imported. None for
            any that is installed.
        changes: Dotted names of settings to values that differ in the job to come.

    Raises:
        ConfigurationError: If it is neither, a setting can't be used, or the job trains nothing.
    """
    with (
        only_listed_tasks(listed) if listed is not None else nullcontext(),
        job_folder(name_or_folder) as folder,
    ):
        if not changes:
            return _read(folder)
        values = apply_changes(read_recipe(folder).settings.model_dump(mode="json"), changes)
        with changed_job(folder, values) as changed:
            return _read(changed)


def _read(folder: Path) -> SiteJob:
    if job_kind(folder) != "training":
        raise ConfigurationError(
            f"job {folder.name!r} trains nothing, so it has no demands on a machine; name one that trains, "
            f"for example {training_job()}"
        )
    job = read_exported_job(folder)
    meta = json.loads((folder / "meta.json").read_text())
    client = next(folder.glob("*/config/config_fed_client.json"))
    classes = dict.fromkeys(class_paths(json.loads(client.read_text())))
    return SiteJob(
        str(meta.get("name", folder.name)),
        job.learning,
        tuple(classes),
        meta,
        job.algorithm.promise(),
        job.min_sites,
        job.algorithm,
        job.rounds,
    )
