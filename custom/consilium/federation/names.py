"""Names that may become part of a path or a command, and what they may look like."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

_JOB_ID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_JOB_ID_PATTERN: Final = re.compile(_JOB_ID)

_SITE_NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"
_SITE_NAME_PATTERN: Final = re.compile(_SITE_NAME)

SiteName: TypeAlias = Annotated[str, Field(pattern=_SITE_NAME)]
"""A site's name: what FLARE's provisioning accepts and a certificate can hold."""


def is_site_name(value: Any) -> bool:
    """Whether a value may be a site's name.

    Example:
        >>> is_site_name("north_hospital")
        True
        >>> is_site_name("north hospital")
        False
    """
    return type(value) is str and _SITE_NAME_PATTERN.fullmatch(value) is not None


def is_job_id(value: Any) -> bool:
    """Whether a value is a job's id, exactly as FLARE writes those that it makes.

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
