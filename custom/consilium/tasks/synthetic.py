"""Synthetic hospitals that a task may offer for trials without patient data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from consilium.errors import ConfigurationError

CohortProgress: TypeAlias = Callable[[int, int, str], None]
"""Called after each case with the cases done, the cases to do, and `hospital/case`."""


@dataclass(frozen=True)
class GeneratedCohort:
    """A synthetic cohort on disk.

    Attributes:
        folder: Its root.
        hospitals: Each hospital's folder, by name.
        written: Cases that this call made; the others were there.
    """

    folder: Path
    hospitals: dict[str, Path]
    written: int


class SyntheticCohort(Protocol):
    """Synthetic hospitals of a task: small enough for a laptop, different enough to learn from.

    Nothing in them is from a patient: a model trained on them is for trying things out, never for use.
    """

    @property
    def hospitals(self) -> tuple[str, ...]:
        """Names of the hospitals."""

    @property
    def evaluators(self) -> frozenset[str]:
        """Those that only evaluate in the demo, because they are too small to spare patients for training."""

    @property
    def test_fractions(self) -> Mapping[str, float]:
        """Share of the patients that hospitals of the demo test on; one that is not named has the usual."""

    @property
    def cases(self) -> int:
        """How many cases all hospitals have."""

    @property
    def options(self) -> Mapping[str, str]:
        """What `specify` takes: the name of each option, and what it means and allows, a line."""

    def specify(self, options: Mapping[str, Any]) -> SyntheticCohort:
        """Return the cohort with other options.

        Args:
            options: By name; those that are not given stay.

        Raises:
            ConfigurationError: If one is unknown or can't be used.
        """

    def make(
        self,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        workers: int = 1,
        progress: CohortProgress | None = None,
    ) -> GeneratedCohort:
        """Make the hospitals under a folder, one subfolder each; what is there already is left alone.

        Args:
            folder: Where; made if missing.
            only: Names of the hospitals to make; None for all.
            workers: Processes.
            progress: Called after each case.

        Raises:
            ConfigurationError: If the folder holds something else, or what making takes is not installed.
        """


def specify_cohort(cohort: SyntheticCohort, changes: Mapping[str, Any]) -> SyntheticCohort:
    """Return a cohort with options as `consilium cohort --set` gives them.

    Args:
        cohort: Of a task.
        changes: Options by name; `hospitals.north` is the entry `north` of the option `hospitals`.

    Raises:
        ConfigurationError: If one is none of the cohort's, or can't be used.
    """
    options: dict[str, Any] = {}
    for key, value in changes.items():
        name, dot, entry = key.partition(".")
        if name not in cohort.options:
            known = ", ".join(cohort.options) or "none"
            raise ConfigurationError(
                f"the synthetic hospitals have no option {name!r}; known: {known}; "
                "`consilium cohort --options` lists them"
            )
        if not dot:
            options[name] = value
        elif isinstance(entries := options.setdefault(name, {}), dict):
            entries[entry] = value
        else:
            raise ConfigurationError(f"{key}: {name} is {entries!r} already; give either it or its entries")
    return cohort.specify(options) if options else cohort
