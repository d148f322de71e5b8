"""What a hospital that lacks an image, or a target in its labels, can do about a declined job."""

from __future__ import annotations

from typing import Final

from consilium.errors import RefusalCode, SiteRefusal
from consilium.participant.case_admission import missing_targets_refusal
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe, task_jobs
from consilium.recipes.training import TrainingSettings
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings

LACKS: Final = frozenset({RefusalCode.MISSING_INPUTS, RefusalCode.MISSING_TARGETS})
"""Reasons to decline a job for what a hospital lacks, where another job may take it."""


def describe_admitting_jobs(refusal: SiteRefusal, site: SiteSettings, learning: LearningSettings) -> str:
    """State which training jobs of the catalog take a hospital with what it lacks, and with which setting.

    Args:
        refusal: Why a job is declined, of a code in `LACKS`.
        site: What the hospital decides.
        learning: What the declined job decides.
    """
    if refusal.code is RefusalCode.MISSING_INPUTS and learning.accepts_missing_inputs:
        return (
            "The job takes it once it agrees to do without these images: missing_inputs in "
            "local/privacy.json. To check for it: consilium check DIR, with --missing IMAGE."
        )
    task = get_task(learning.task)
    jobs = {
        name: settings
        for name in task_jobs(task)
        if isinstance(settings := build_recipe(name).settings, TrainingSettings)
        and missing_targets_refusal(site, settings.learning, settings.algorithm) is None
    }
    lacking = [name for name in task.inputs if name in site.missing_inputs]
    if lacking:
        ready = [name for name, one in jobs.items() if one.learning.accepts_missing_inputs]
        setting = task.settings_type.missing_inputs_setting
        if not ready and setting and jobs:
            return (
                f"Jobs that take this hospital: {', '.join(jobs)}, each with learning.{setting} above 0; ask "
                "the lead data scientist. To check for such a job: consilium check DIR, with --missing, "
                f"--job and --set learning.{setting}=0.2."
            )
        jobs = {name: jobs[name] for name in ready}
    if not jobs:
        return f"No training job of {task.name} takes this hospital."
    return f"Jobs that take this hospital: {', '.join(jobs)}. To check for one of them: --job."
