"""Options about several sites, `NAME=VALUE` each, and their parsing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import (
    ACCEPTED_HELP,
    CONVENTION_HELP,
    MISSING_HELP,
    PATIENTS_HELP,
    parse_convention,
    parse_missing,
)
from consilium.errors import ConfigurationError

if TYPE_CHECKING:
    from consilium.data.case_format import CaseFormat
    from consilium.tasks.base import Task


@dataclass(frozen=True)
class Missing:
    """What hospitals lack, each by the name of its site.

    Attributes:
        inputs: Images that it doesn't acquire.
        targets: Targets that its labels lack.
    """

    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: dict[str, tuple[str, ...]] = field(default_factory=dict)


Evaluators = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluates",
        metavar="NAME",
        help="A site that only evaluates, with all of its patients.",
        show_default=False,
    ),
]
Conventions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]CONVENTION",
        help=f"At one site or at all. {CONVENTION_HELP}",
        show_default=False,
    ),
]
MissingInputs = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=IMAGE|TARGET", help=MISSING_HELP, show_default=False),
]
PatientsFiles = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help=PATIENTS_HELP, show_default=False),
]
AcceptedFiles = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help=ACCEPTED_HELP, show_default=False),
]


def parse_sites(assignments: Iterable[str]) -> dict[str, Path]:
    """Read `--site NAME=DIR`, given as often as needed.

    Raises:
        ConfigurationError: One does not have this form, or a site is given twice.
    """
    sites: dict[str, Path] = {}
    for assignment in assignments:
        name, equals, folder = assignment.partition("=")
        if not equals or not folder:
            raise ConfigurationError(
                f"--site {assignment!r} is not of the form NAME=DIR, such as north=data/a"
            )
        if name in sites:
            raise ConfigurationError(f"--site {name} is given twice: {sites[name]} and {folder}")
        sites[name] = Path(folder).expanduser()  # no shell does it behind the =
    return sites


def parse_conventions(
    assignments: Sequence[str], sites: Iterable[str], case_format: CaseFormat
) -> Mapping[str, str]:
    """Read `--convention SITE=CONVENTION`, or `--convention CONVENTION` for all sites.

    Args:
        assignments: The options; one for a site counts more than one for all.
        sites: The names of the sites.
        case_format: Of the job's task.

    Raises:
        ConfigurationError: A site or a convention is unknown, or one is given two.
    """
    names = list(sites)
    stated: dict[str, str] = {}
    for assignment in assignments:
        site, _, value = assignment.rpartition("=")
        if site and site not in names:
            raise ConfigurationError(
                f"--convention {assignment}: no site is named {site}; named: {', '.join(names)}"
            )
        if stated.setdefault(site, parse_convention(value, case_format)) != value:
            raise ConfigurationError(
                f"--convention is given twice for {site or 'all sites'}: {stated[site]} and {value}"
            )
    for_all = {} if "" not in stated else dict.fromkeys(names, stated[""])
    return {**for_all, **{site: convention for site, convention in stated.items() if site}}


def parse_missing_at_sites(assignments: Iterable[str], sites: Iterable[str], task: Task) -> Missing:
    """Read `--missing SITE=NAME`, given as often as needed.

    Args:
        assignments: The options; a name is that of an image, or of a target that the site's labels lack.
        sites: The names of the sites.
        task: The job's.

    Raises:
        ConfigurationError: One does not have this form, or a site or a name is unknown.
    """
    names = list(sites)
    missing = Missing()
    for assignment in assignments:
        site, equals, name = assignment.partition("=")
        if not equals or not name or site not in names:
            raise ConfigurationError(
                f"--missing {assignment!r} is not of the form NAME=IMAGE or NAME=TARGET with the name of a "
                f"site; named: {', '.join(names)}"
            )
        is_target = parse_missing(name, task, f"--missing {assignment!r}")
        of_kind = missing.targets if is_target else missing.inputs
        of_kind[site] = (*of_kind.get(site, ()), name)
    return missing


def parse_files(
    option: str, assignments: Iterable[str], sites: Iterable[str], *, folders: bool = False
) -> Mapping[str, Path]:
    """Read an option `SITE=FILE`, such as `--patients north=patients.csv`, given as often as needed.

    Args:
        option: Its name, for messages.
        assignments: The options.
        sites: The names of the sites.
        folders: Whether a folder may be named as well.

    Raises:
        ConfigurationError: One does not have this form, a site is unknown or has two files, or there is none.
    """
    names = list(sites)
    files: dict[str, Path] = {}
    for assignment in assignments:
        site, equals, path = assignment.partition("=")
        if not equals or not path or site not in names:
            raise ConfigurationError(
                f"{option} {assignment!r} is not of the form NAME=FILE with the name of a site; named: "
                f"{', '.join(names)}"
            )
        if site in files:
            raise ConfigurationError(f"{option} {site} is given twice: {files[site]} and {path}")
        file = Path(path).expanduser()  # no shell does it behind the =
        if not (file.exists() if folders else file.is_file()):
            raise ConfigurationError(f"{option} {site}: there is no file {path}")
        files[site] = file
    return files
