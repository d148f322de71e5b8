"""A job as a site sees it: by its folder, or by its name in the catalog."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consilium.errors import ConfigurationError
from consilium.provisioning.check.job import SiteJob
from consilium.recipes.catalog import build_recipe, export_job
from consilium.recipes.job_folder import job_kind, read_job_folder


def load_site_job(name_or_folder: str) -> SiteJob:
    """Read what a job asks of a site.

    Args:
        name_or_folder: The folder of an exported job, or a name of `consilium jobs list`.

    Raises:
        ConfigurationError: If it is neither, or the job can't be used or trains nothing.
    """
    folder = Path(name_or_folder)
    if folder.is_dir():
        return _read(folder)
    with tempfile.TemporaryDirectory() as temporary:
        return _read(export_job(build_recipe(name_or_folder), Path(temporary)))


def _read(folder: Path) -> SiteJob:
    if job_kind(folder) != "training":
        raise ConfigurationError(
            f"job {folder.name!r} trains nothing, so a machine can't be judged by it; name one that trains, "
            "for example brain_tumor_fedavg"
        )
    job = read_job_folder(folder)
    meta = json.loads((folder / "meta.json").read_text())
    client = next(folder.glob("*/config/config_fed_client.json"))
    classes = dict.fromkeys(_class_paths(json.loads(client.read_text())))
    return SiteJob(str(meta.get("name", folder.name)), job.learning, tuple(classes), meta)


def _class_paths(config: Any) -> Iterator[str]:
    """Every `path` in a configuration, however deep."""
    if isinstance(config, dict):
        if isinstance(config.get("path"), str):
            yield config["path"]
        for value in config.values():
            yield from _class_paths(value)
    elif isinstance(config, list):
        for value in config:
            yield from _class_paths(value)
