"""Models of a job's `meta.json`: as submitted, and as deployed."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, TypeVar

from nvflare.apis.job_def import ALL_SITES, SERVER_SITE_NAME, JobMetaKey
from pydantic import ConfigDict, Field, field_validator

from consilium.counts import counted
from consilium.errors import ConfigurationError, JobRejected, RefusalCode
from consilium.federation.safe_names import JobId, SiteName
from consilium.recipes.base import APP, META
from consilium.recipes.recognition import one_line
from consilium.settings import MAX_SITES, Name, Settings

_MAX_BYTES: Final = 256 * 1024
"""Of all entries; those of FLARE grow with the number of sites and attempts."""

MetaT = TypeVar("MetaT", bound="SubmittedMeta")

_Text = Annotated[str, Field(max_length=256)]
_Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Of a scope or a study."""


class SubmittedMeta(Settings):
    """A submitted `meta.json`; values that a recipe determines are compared with the recipe."""

    model_config = ConfigDict(strict=True)

    name: Name
    resource_spec: dict[str, Any]
    min_clients: int = Field(ge=1, le=MAX_SITES)
    deploy_map: dict[Literal["app"], list[SiteName | Literal["@ALL"]]]
    resume: JobId | None = None
    scope: _Label | None = None
    study: _Label | None = None

    @field_validator("deploy_map")
    @classmethod
    def _one_app_for_all(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        sites = value.get(APP, [])
        if sites == [ALL_SITES]:
            return value
        if SERVER_SITE_NAME not in sites or ALL_SITES in sites or len(set(sites)) < len(sites):
            raise ValueError(
                f'allowed are {{"{APP}": ["{ALL_SITES}"]}}, or "{SERVER_SITE_NAME}" and the names of sites '
                "instead, each once"
            )
        return value


class DeployedMeta(SubmittedMeta):
    """A `meta.json` as FLARE's server deploys it."""

    job_id: JobId
    submitter_name: _Text
    submitter_org: _Text
    submitter_role: _Text
    cloned_from: JobId | None = None
    # What FLARE notes about a job's way; nothing at a site acts on it.
    job_clients: Any = None
    approvals: Any = None
    content_location: Any = None
    result_location: Any = None
    job_folder_name: Any = None
    data_storage_format: Any = None
    submit_time: Any = None
    submit_time_iso: Any = None
    start_time: Any = None
    duration: Any = None
    status: Any = None
    schedule_count: Any = None
    last_schedule_time: Any = None
    schedule_history: Any = None
    job_deploy_detail: Any = None


DECIDED: Final = frozenset(SubmittedMeta.model_fields) | {
    "job_id",
    "submitter_name",
    "submitter_org",
    "submitter_role",
    "cloned_from",
}
"""What stays the same from the deployment of a job to its start."""


def check_submitted_meta(meta: Any) -> SubmittedMeta:
    """Check the `meta.json` of a job that somebody submits.

    Raises:
        JobRejected: If an entry is not allowed.
    """
    if isinstance(meta, dict) and JobMetaKey.JOB_ID.value in meta:
        raise JobRejected(
            f"{META}: it names a {JobMetaKey.JOB_ID.value}; only the server gives a job its id",
            code=RefusalCode.JOB_DESCRIPTION,
        )
    return _check(SubmittedMeta, meta)


def check_deployed_meta(meta: Any) -> DeployedMeta:
    """Check the description of a job that a server deploys.

    Raises:
        JobRejected: If an entry is not allowed.
    """
    try:
        text = json.dumps(meta, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise JobRejected(
            f"{META}: it is not JSON ({type(error).__name__})", code=RefusalCode.JOB_DESCRIPTION
        ) from None
    if len(text) > _MAX_BYTES:
        raise JobRejected(
            f"{META}: it has {counted(len(text), 'byte')}; at most {_MAX_BYTES} are allowed",
            code=RefusalCode.JOB_DESCRIPTION,
        )
    return _check(DeployedMeta, json.loads(text))


def _check(kind: type[MetaT], meta: Any) -> MetaT:
    if not isinstance(meta, dict):
        raise JobRejected(
            f"{META}: it holds a {type(meta).__name__}, not an object", code=RefusalCode.JOB_DESCRIPTION
        )
    try:
        return kind.parse(meta, source=META)
    except ConfigurationError as error:
        raise JobRejected(one_line(str(error)), code=RefusalCode.JOB_DESCRIPTION) from None
