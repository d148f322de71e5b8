"""What a job asks of a hospital's machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nvflare.apis.job_def import JobMetaKey
from nvflare.utils.job_launcher_utils import get_resource_manager_spec

from consilium.learning.device import process_count
from consilium.learning.settings import LearningSettings
from consilium.learning.site_settings import SiteSettings


@dataclass(frozen=True)
class SiteJob:
    """A job as a site sees it.

    Attributes:
        name: The job's name.
        learning: What it trains.
        classes: Class paths that it has a site build.
        meta: Its `meta.json`.
    """

    name: str
    learning: LearningSettings
    classes: tuple[str, ...]
    meta: Mapping[str, Any]

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
