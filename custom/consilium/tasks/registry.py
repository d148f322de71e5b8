"""Registry of tasks: those of Consilium, and those of other installed packages.

A job carries a name, never a class path. The name leads to a task of this package, or to an entry point of
the group `consilium.tasks` of an installed one; nothing else is ever imported for a job.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Final, TypeAlias

from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError
from consilium.settings import TypeByValues
from consilium.tasks.base import Task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.synthetic import SyntheticCohort

ENTRY_POINTS: Final = "consilium.tasks"
"""The group of entry points by which another package provides a task, under the task's name."""

_logger = logging.getLogger(__name__)


class _BuiltIn(Mapping[str, Task]):
    """Tasks by name, each imported on first use.

    Args:
        places: Name to the module and class of a task.
    """

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = dict(places)
        self._made: dict[str, Task] = {}

    def __getitem__(self, name: str) -> Task:
        """Return a task; KeyError for an unknown name."""
        if name not in self._made:
            module, kind = self._places[name]
            self._made[name] = getattr(import_module(module), kind)()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is a task of that name; imports none."""
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)


TASKS: Final[Mapping[str, Task]] = _BuiltIn(
    {"brain_tumor": ("consilium.tasks.brain_tumor.task", "BrainTumor")}
)
"""The tasks that come with Consilium, by name."""

_listed: ContextVar[frozenset[str] | None] = ContextVar("listed", default=None)


def get_task(name: str) -> Task:
    """Return the task of that name, and import the package that provides it.

    Example:
        >>> get_task("brain_tumor").name
        'brain_tumor'

    Raises:
        ConfigurationError: If no installed package provides it, or two do, it can't be loaded, or the site's
            policy does not list it (see `only_listed_tasks`).
    """
    brought, listed = _brought(name), _listed.get()
    if name in TASKS and not brought:
        return TASKS[name]
    if not brought:
        raise ConfigurationError(
            f"no task is named {name!r}; known: {', '.join(_known(listed))}; a task of another package is "
            "known once the package is installed"
        )
    if name in TASKS or len(brought) > 1:
        raise ConfigurationError(
            f"task {name!r} is provided more than once, by {_sources(name)}; uninstall all but one of them"
        )
    if listed is not None and name not in listed:
        raise ConfigurationError(unlisted_reason(name))
    try:
        return _load(brought[0])
    except ConfigurationError as error:
        if listed is None:
            raise
        # What a site says of a job leaves it, and the exception may name files of this machine.
        _logger.error("%s", error)
        raise ConfigurationError(
            f"task {name!r} can't be loaded here; the log of this site says why"
        ) from None


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, those that come with Consilium first; imports no other package."""
    return (*TASKS, *sorted({entry.name for entry in _entry_points()} - TASKS.keys()))


def synthetic_cohort(name: str) -> SyntheticCohort:
    """Return the synthetic hospitals of a task.

    Raises:
        ConfigurationError: If there is no such task, or it has none.
    """
    cohort = get_task(name).synthetic
    if cohort is None:
        raise ConfigurationError(
            f"task {name!r} has no synthetic hospitals; give folders with cases, or another --task"
        )
    return cohort


def is_built_in(name: str) -> bool:
    """Return whether a task comes with Consilium, so that no policy has to list it."""
    return name in TASKS


def unlisted_reason(name: str) -> str:
    """Return why a site declines a task that its policy does not list; contains nothing but the name."""
    return f"task {name!r} is of another package, and this site's policy does not list it"


def settings_type(values: Mapping[str, Any]) -> type[LearningSettings]:
    """Return the class of these learning settings: that of the task that they name.

    Raises:
        ValueError: If they name an unknown task.
    """
    name = values.get("task", DEFAULT)
    if not isinstance(name, str):
        raise ValueError(f"the task must be a name; known: {', '.join(_known(_listed.get()))}")
    try:
        return get_task(name).settings_type
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


TaskLearning: TypeAlias = Annotated[LearningSettings, TypeByValues(settings_type)]
"""Type of a field that holds the learning settings of whichever task its values name."""


def parse_learning(values: Mapping[str, Any], *, source: str) -> LearningSettings:
    """Validate the learning settings of whichever task the values name.

    Args:
        values: Settings as read from a job or a record.
        source: What they were read from, for the message.

    Raises:
        ConfigurationError: As `Settings.parse`, or if no such task is known.
    """
    try:
        kind = settings_type(values)
    except ValueError as error:
        raise ConfigurationError(f"{source}: task: {error}") from None
    return kind.parse(values, source=source)


def learning_caution(values: object) -> str:
    """Return what a reader of a job's results has to know about how its model was trained.

    Args:
        values: The learning settings as the job's record has them; those that can't be read have no caution.
    """
    if not isinstance(values, Mapping):
        return ""
    try:
        return parse_learning(values, source="the record").caution
    except ConfigurationError:
        return ""


@contextmanager
def only_listed_tasks(listed: Collection[str]) -> Iterator[None]:
    """Limit the tasks of other packages, within this block and thread, to those of a site's policy.

    A site's parent process reads the names in a job; it must not import the package of a task that the
    hospital has not listed.

    Args:
        listed: Names of tasks.
    """
    token = _listed.set(frozenset(listed))
    try:
        yield
    finally:
        _listed.reset(token)


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    """What is installed: read once a process, which takes 50 ms."""
    return tuple(entry_points(group=ENTRY_POINTS))


def _known(listed: Collection[str] | None) -> tuple[str, ...]:
    """The names that an error may state: a hospital does not say what else is installed there."""
    return tuple(name for name in task_names() if listed is None or name in TASKS or name in listed)


def _brought(name: str) -> list[EntryPoint]:
    """The entry points of a name; `entry_points` takes a distribution found twice on the path once."""
    found = {(_package(entry), entry.value): entry for entry in _entry_points() if entry.name == name}
    return list(found.values())


def _sources(name: str) -> str:
    own = ["consilium"] if name in TASKS else []
    return ", ".join([*own, *sorted(_package(entry) for entry in _brought(name))])


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


@cache
def _load(entry: EntryPoint) -> Task:
    """Import and check a task; a failure is not cached, so a later call tries again."""
    where = f"task {entry.name!r} of package {_package(entry)} ({entry.value})"
    try:
        found = entry.load()
        task: Task = found() if isinstance(found, type) else found
        name = task.name
    except (Exception, SystemExit) as error:  # code of another package: it may raise anything as it loads
        raise ConfigurationError(
            f"{where} can't be loaded: {type(error).__name__}: {error}; install a version of the package "
            "that fits this Consilium, or uninstall it"
        ) from error
    if name != entry.name:
        raise ConfigurationError(f"{where} calls itself {name!r}; the entry point and the task have one name")
    return task
