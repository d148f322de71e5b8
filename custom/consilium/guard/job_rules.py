"""Rules for a job's files: exactly those that one of our recipes writes.

FLARE would build any class that a site lists, with any arguments, reads HOCON and YAML with includes, and
puts variables of the site's machine where a text says `{$NAME}`. A list of what is dangerous is never
complete. So a job is taken only if the recipe that it names, run here with the job's settings, writes the
same files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from nvflare.lighter.tool_consts import NVFLARE_SIG_FILE, NVFLARE_SUBMITTER_CRT_FILE
from nvflare.utils.job_launcher_utils import PORTABLE_RESOURCE_DEFAULT_KEY

from consilium.errors import ConfigurationError, JobRejected, RefusalCode
from consilium.guard.job_meta import DeployedMeta, check_submitted_meta
from consilium.guard.parties import SiteKind
from consilium.recipes.base import APP, CLIENT_CONFIG, META, SERVER_CONFIG, JobFiles
from consilium.recipes.recognition import recognize_app, recognize_recipe
from consilium.recipes.strict_json import parse_json
from consilium.tasks.registry import only_listed_tasks

SIGNATURES: Final = (NVFLARE_SIG_FILE, NVFLARE_SUBMITTER_CRT_FILE)
"""Files that FLARE's console adds to every folder that it submits."""

_logger = logging.getLogger(__name__)

_CUSTOM: Final = "custom"
_CONFIG: Final = "config"
_APP_FILES: Final = (SERVER_CONFIG, CLIENT_CONFIG)
_JOB_FILES: Final = (META, *(f"{APP}/{name}" for name in _APP_FILES))
_CONFIGS: Final[Mapping[SiteKind, str]] = {"server": SERVER_CONFIG, "client": CLIENT_CONFIG}
_DROPPED_DEFAULT: Final = PORTABLE_RESOURCE_DEFAULT_KEY.removeprefix("@")


def check_job(files: Mapping[str, bytes], forbidden_class: Callable[[str], str | None]) -> None:
    """Check a job that is submitted.

    Args:
        files: Name, relative to the job's folder, to content; names of folders end in `/`.
        forbidden_class: Returns why the server forbids a class path; None if it doesn't.

    Raises:
        ConfigurationError: If it is not exactly what a recipe writes; says where it differs.
    """
    _check_names(files, _JOB_FILES, (f"{APP}/", f"{APP}/{_CONFIG}/"))
    meta, server, client = (_parse(name, files[name]) for name in _JOB_FILES)
    meta = restore_default_resources(meta)
    check_submitted_meta(meta)
    with _task_boundary():
        recognize_recipe(JobFiles(meta, server, client))
    _check_classes(server, f"{APP}/{SERVER_CONFIG}", forbidden_class)


def check_app(
    files: Mapping[str, bytes],
    forbidden_class: Callable[[str], str | None],
    side: SiteKind,
    meta: DeployedMeta | None = None,
    *,
    listed: Collection[str] | None = None,
) -> None:
    """Check an app, the part of a job that a site gets.

    Args:
        files: Name, relative to the app's folder, to content; names of folders end in `/`.
        forbidden_class: Returns why the site forbids a class path; None if it doesn't.
        side: What the site is. An app holds the configuration of the other side as well, whose classes are
            never built here.
        meta: The job's description; None where it is not at hand.
        listed: Tasks of other packages that may be imported here, None for whatever is installed: a
            hospital's policy lists them, the server's operator installs them.

    Raises:
        ConfigurationError: If it is not exactly what a recipe writes; says where it differs.
    """
    _check_names(files, _APP_FILES, (f"{_CONFIG}/",))
    configs = [_parse(name, files[name]) for name in _APP_FILES]
    with _task_boundary(), only_listed_tasks(listed) if listed is not None else nullcontext():
        if meta is None:
            recognize_app(*configs)
        else:
            recognize_recipe(JobFiles(meta.model_dump(mode="json", exclude_unset=True), *configs))
    _check_classes(configs[_APP_FILES.index(_CONFIGS[side])], _CONFIGS[side], forbidden_class)


@contextmanager
def _task_boundary() -> Iterator[None]:
    """Reject a job over which the code of another package's task fails; its words stay in the log.

    Raises:
        JobRejected: In place of whatever was raised.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:
        _logger.exception("a job can't be checked")
        raise JobRejected(
            f"its settings can't be checked here ({type(error).__name__}); the log says why",
            code=RefusalCode.JOB_CONTENT,
        ) from error


def restore_default_resources(meta: Any) -> Any:
    """Give `@default` of a job's resource_spec its `@` back.

    `nvflare job submit` of 2.9 reads `meta.json` through a HOCON parser that drops it. What every site is
    asked for would then be asked of a site named `default`, so of none.
    """
    spec = meta.get("resource_spec") if isinstance(meta, dict) else None
    if not isinstance(spec, dict) or _DROPPED_DEFAULT not in spec or PORTABLE_RESOURCE_DEFAULT_KEY in spec:
        return meta
    restored = {
        PORTABLE_RESOURCE_DEFAULT_KEY if site == _DROPPED_DEFAULT else site: resources
        for site, resources in spec.items()
    }
    return {**meta, "resource_spec": restored}


def _check_names(names: Collection[str], files: Collection[str], folders: Collection[str]) -> None:
    if any(_CUSTOM in name.split("/") for name in names):
        raise JobRejected(
            f"it contains code of its own ({_CUSTOM}), which nobody may; a job is configuration only",
            code=RefusalCode.JOB_CONTENT,
        )
    signatures = {f"{folder}{name}" for folder in ("", *folders) for name in SIGNATURES}
    allowed = f"allowed are {' and '.join(files)}"
    for name in sorted(names):
        if name not in files and name not in folders and name not in signatures:
            raise JobRejected(f"it holds {name[:80]!a}; {allowed}", code=RefusalCode.JOB_CONTENT)
    for name in files:
        if name not in names:
            raise JobRejected(f"it has no {name}; {allowed}", code=RefusalCode.JOB_CONTENT)


def _parse(name: str, content: bytes) -> Any:
    try:
        return parse_json(content)
    except ConfigurationError as error:
        raise JobRejected(f"{name}: {error}", code=RefusalCode.JOB_CONTENT) from None


def _check_classes(config: Any, name: str, forbidden_class: Callable[[str], str | None]) -> None:
    for path in class_paths(config):
        fault = forbidden_class(path)
        if fault is not None:
            raise JobRejected(f"{name}: {path!r}: {fault}", code=RefusalCode.JOB_CLASS)


def class_paths(config: Any) -> Iterator[str]:
    """Yield every class path in a configuration, however deep."""
    if isinstance(config, dict):
        if isinstance(config.get("path"), str):
            yield config["path"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from class_paths(value)
