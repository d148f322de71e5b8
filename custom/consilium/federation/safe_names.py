"""Names of sites and jobs that may become part of a path or a command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Annotated, Any, Final, TypeAlias

from nvflare.fuel.utils.admin_name_utils import is_valid_admin_client_name
from pydantic import AfterValidator, Field

from consilium.errors import ConfigurationError

_JOB_ID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_JOB_ID_PATTERN: Final = re.compile(_JOB_ID)

_SITE_NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"
_SITE_NAME_PATTERN: Final = re.compile(_SITE_NAME)

_LONGEST: Final = 64
"""Characters of a common name in a certificate (RFC 5280, appendix A.1)."""

_RESERVED: Final = frozenset({"server", "client", "all"})
"""The targets of the console's commands beside sites; `server` is the server's cell as well."""

SiteName: TypeAlias = Annotated[str, Field(pattern=_SITE_NAME)]
"""A site's name: what FLARE's provisioning accepts and a certificate can hold."""


def is_site_name(value: Any) -> bool:
    """Return whether a value may be a site's name.

    Example:
        >>> is_site_name("north_hospital")
        True
        >>> is_site_name("north hospital")
        False
    """
    return type(value) is str and _SITE_NAME_PATTERN.fullmatch(value) is not None


def check_site_names(names: Sequence[Any], *, others: Iterable[str] = (), where: str = "") -> None:
    """Check the names of a federation's sites, wherever they are given: one rule for all of them.

    Args:
        names: The names, as they were read: of a YAML file they need not be texts.
        others: The names of the other participants: server, relays and users.
        where: What to say before a message, such as a file's name.

    Raises:
        ConfigurationError: If one can't be a site's name, or two are too much alike, with what is allowed.

    Example:
        >>> check_site_names(["north", "south"], others=["flare.consortium.example"])
        >>> check_site_names([True], where="project.yml")
        Traceback (most recent call last):
            ...
        consilium.errors.ConfigurationError: project.yml: True can't be a site's name: YAML reads yes, no, ...
    """
    before = f"{where}: " if where else ""
    taken = {str(other).lower(): str(other) for other in others}
    for name in names:
        fault = site_name_fault(name)
        if fault is not None:
            shown = repr(name) if isinstance(name, str | bool | int | float | None) else str(name)
            raise ConfigurationError(f"{before}{shown} can't be a site's name: {fault}")
        other = taken.get(name.lower())
        if other is not None:
            alike = "given twice" if other == name else f"the same as {other!r} but for the case of letters"
            raise ConfigurationError(
                f"{before}{name!r} can't be a site's name: it is {alike}; each participant has its own"
            )
        taken[name.lower()] = name


def site_name_fault(value: Any) -> str | None:
    """Return why a value can't be a site's name, with the remedy; None if it can.

    Example:
        >>> site_name_fault("north")
        >>> site_name_fault("all")
        "'all' has a meaning in FLARE's console; reserved are all, client, server"
    """
    if value is None or value == "":
        return "it is missing or empty"
    if isinstance(value, bool):
        return "YAML reads yes, no, on, off, true and false as truth values; put the name in quotes"
    if not isinstance(value, str):
        kind = (
            "a date"
            if isinstance(value, date)
            else "a number"
            if isinstance(value, int | float)
            else "a list"
        )
        return f"without quotes YAML reads it as {kind}; put the name in quotes"
    if len(value) > _LONGEST:
        return f"it has {len(value)} characters, and a certificate holds {_LONGEST}"
    if not is_site_name(value):
        return "it may have letters from A to Z, digits, '-' and '_', and nothing else"
    if value.startswith("-"):
        return "commands would take it for an option; let it begin with a letter or a digit"
    if value.lower() in _RESERVED:
        return f"{value!r} has a meaning in FLARE's console; reserved are {', '.join(sorted(_RESERVED))}"
    if is_valid_admin_client_name(value):
        return "FLARE gives such names to consoles of users"
    return None


def is_job_id(value: Any) -> bool:
    """Return whether a value is a job's id, exactly as FLARE writes it.

    FLARE's `is_valid_job_id` takes dashes anywhere, a leading one included.

    Example:
        >>> is_job_id("9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00")
        True
        >>> is_job_id("local")
        False
    """
    return type(value) is str and _JOB_ID_PATTERN.fullmatch(value) is not None


def _check_job_id(value: str) -> str:
    if not is_job_id(value):
        raise ValueError("no job id of FLARE's; `list_jobs` in the console shows them")
    return value


JobId: TypeAlias = Annotated[
    str, AfterValidator(_check_job_id), Field(json_schema_extra={"pattern": _JOB_ID})
]
"""A job's id as FLARE makes it: a random UUID, in lower case and with its dashes."""
