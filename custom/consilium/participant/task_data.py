"""A hospital's settings for one task: its dataset there, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from consilium.errors import ConfigurationError
from consilium.settings import Settings
from consilium.tasks.partial_labels import check_missing_targets
from consilium.tasks.registry import get_task, is_built_in, task_names

OwnName: TypeAlias = Annotated[str, Field(min_length=1, max_length=63)]
"""Of one of a task's inputs or targets; the task knows which there are."""


class TaskData(Settings):
    """A hospital's settings for one task: the folder of its cases, and how to read them.

    Without a `dataset` of its own, what is not given here is as for all tasks. With one, it is about other
    files, and nothing else of the site's settings describes them.
    """

    dataset: Path | None = Field(
        default=None, description="Folder with the cases of this task; default: the site's dataset."
    )
    label_convention: str | None = Field(default=None, max_length=64, description="One that the task knows.")
    patients_file: Path | None = None
    file_endings: dict[str, tuple[str, ...]] = Field(default={})
    missing_inputs: tuple[OwnName, ...] = Field(default=(), max_length=16)
    missing_targets: tuple[OwnName, ...] = Field(default=(), max_length=16)
    accepted_findings: Path | None = None
    subgroups_file: Path | None = None
    local_only_model: Path | None = None
    withdrawn_patients: Path | None = None


def list_installed() -> dict[str, TaskData]:
    """Return an entry for every task of another package that is installed here.

    For a federation in which one person decides for all sites: a simulation, or a proof of concept.
    """
    return {name: TaskData() for name in task_names() if not is_built_in(name)}


def describe_name_problem(
    task: str, endings: Mapping[str, Sequence[str]], missing: Sequence[str], targets: Sequence[str]
) -> str | None:
    """Return what is wrong with names of a task's inputs or targets.

    Args:
        task: Its name.
        endings: Inputs to endings of file names.
        missing: Inputs that a hospital doesn't acquire.
        targets: Targets that its labels lack.

    Returns:
        None if nothing is, or if the task is not installed here.
    """
    if not endings and not missing and not targets:
        return None
    try:
        known = get_task(task)
    except ConfigurationError:
        return None  # said where a job asks for it
    try:
        if endings or missing:
            known.cases.check_endings(endings)
        if missing:
            known.cases.lacking(missing)
        check_missing_targets(known.targets, targets)
    except ConfigurationError as error:
        return str(error)
    return None
