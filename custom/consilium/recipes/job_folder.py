"""The folder of a job, however a user names the job."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consilium.errors import ConfigurationError
from consilium.recipes.base import JobRecipe
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job


def resolve_job(job: JobRecipe | Path | str) -> JobRecipe | Path:
    """Return the folder of a job where it has one, else its recipe.

    Example:
        >>> resolve_job("brain_tumor_fedavg").kind
        'training'

    Args:
        job: A recipe, the folder of an exported job, or a name of `consilium jobs list`. A folder comes
            before a job of the same name.

    Raises:
        ConfigurationError: If it is none of them.
    """
    if isinstance(job, JobRecipe):
        return job
    folder = Path(job).expanduser()
    if folder.is_dir():
        return folder
    if len(folder.parts) > 1:
        raise ConfigurationError(
            f"there is no folder {job}; name one that `consilium jobs export` wrote, or a job of "
            "`consilium jobs list`"
        )
    return build_recipe(str(job))


@contextmanager
def job_folder(job: JobRecipe | Path | str) -> Iterator[Path]:
    """Have the folder of a job; that of a recipe or a name is gone after use.

    Args:
        job: See `resolve_job`.

    Raises:
        ConfigurationError: If there is no such job.
    """
    found = resolve_job(job)
    if isinstance(found, Path):
        yield found
        return
    with tempfile.TemporaryDirectory() as folder:
        yield export_job(found, Path(folder))
