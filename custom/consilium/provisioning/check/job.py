"""What a job asks of a hospital's machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nvflare.apis.job_def import JobMetaKey
from nvflare.utils.job_launcher_utils import get_resource_manager_spec

from consilium.learning.settings import LearningSettings


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

    def gpus_at(self, site_name: str) -> int:
        """Return how many GPUs it asks of a site."""
        return int(get_resource_manager_spec(dict(self.meta), site_name).get("num_of_gpus", 0))

    def gpu_memory_at(self, site_name: str) -> float:
        """Return how much memory it asks of each GPU of a site, in GiB; 0 if it does not say."""
        return float(get_resource_manager_spec(dict(self.meta), site_name).get("mem_per_gpu_in_GiB", 0))
