"""Settings that a task proposes for what the hospitals' data and machines are like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consilium.errors import ConfigurationError
from consilium.recipes.base import JobSettings
from consilium.tasks import LearningSettings, get_task
from consilium.tasks.proposals import Choice, Fingerprint


def propose(fingerprint: Fingerprint, job: JobSettings) -> list[Choice]:
    """Propose settings for a job that trains, each with its reason.

    Args:
        fingerprint: The hospitals.
        job: What the job has by itself; its network stays.

    Raises:
        ConfigurationError: If the job trains nothing, or too little is known for what its task proposes.
    """
    learning = getattr(job, "learning", None)
    if not isinstance(learning, LearningSettings):
        raise ConfigurationError(f"job {job.name!r} trains nothing: there is nothing to propose for it")
    from consilium.learning.estimate import gpu_bytes  # it loads torch: only for who wants a proposal

    return list(get_task(learning.task).method.propose(fingerprint, learning, gpu_bytes))


def as_changes(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the settings that the choices propose."""
    return {
        one.setting: list(one.value) if isinstance(one.value, tuple) else one.value
        for one in choices
        if one.setting is not None
    }
