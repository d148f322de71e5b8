"""Checks of a deployment at the site, before anything is removed or written.

FLARE removes the folder of the job's id and unpacks the app first, wherever that id leads, and looks then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace
from nvflare.private.admin_defs import Message, error_reply
from nvflare.private.defs import ERROR_MSG_PREFIX, RequestHeader
from nvflare.private.fed.client.scheduler_cmds import StartJobProcessor
from nvflare.private.fed.client.training_cmds import DeployProcessor
from nvflare.private.fed.utils.app_deployer import AppDeployer
from nvflare.private.fed.utils.fed_utils import require_signed_jobs

from consilium.errors import ConfigurationError, JobRejected, RefusalCode
from consilium.federation.safe_names import is_job_id
from consilium.guard.accepted_jobs import AcceptedJobs
from consilium.guard.archive import read_archive
from consilium.guard.flare_app_validator import class_fault, reject_job, tasks_listed_by
from consilium.guard.job_meta import DECIDED, DeployedMeta, check_deployed_meta
from consilium.guard.job_rules import check_app
from consilium.guard.parties import SiteKind
from consilium.guard.signatures import check_signer, is_signed, verify_app
from consilium.recipes.base import APP

_STARTUP_CONFIG: Final[dict[SiteKind, str]] = {
    "server": WorkspaceConstants.SERVER_STARTUP_CONFIG,
    "client": WorkspaceConstants.CLIENT_STARTUP_CONFIG,
}


class CheckedServerDeployer(AppDeployer):  # type: ignore[misc]
    """FLARE's deployer at a site, with a check of the job first."""

    def deploy(
        self,
        workspace: Workspace,
        job_id: str,
        job_meta: dict[str, Any],
        app_name: str,
        app_data: bytes,
        fl_ctx: FLContext,
    ) -> str | None:
        """Deploy an app; returns the reason for its rejection, None if it is accepted."""
        fault = deployment_fault(workspace, "server", job_id, job_meta, app_name, app_data)
        if fault is not None:
            return fault
        rejection: str | None = super().deploy(workspace, job_id, job_meta, app_name, app_data, fl_ctx)
        return rejection


FLARES_PROCESS: Final[Callable[[DeployProcessor, Message, Any], Message]] = DeployProcessor.process


def process_deployment(processor: DeployProcessor, req: Message, app_ctx: Any) -> Message:
    """Answer the server's request to deploy an app at a hospital: FLARE's `process`, after a look at the job.

    Args:
        processor: FLARE's.
        req: The request.
        app_ctx: The site's engine.
    """
    fault = deployment_fault(
        Workspace(root_dir=app_ctx.args.workspace, site_name=app_ctx.get_client_name()),
        "client",
        req.get_header(RequestHeader.JOB_ID),
        req.get_header(RequestHeader.JOB_META),
        req.get_header(RequestHeader.APP_NAME),
        req.body,
    )
    return FLARES_PROCESS(processor, req, app_ctx) if fault is None else error_reply(fault)


FLARES_START: Final[Callable[[StartJobProcessor, Message, Any], Message]] = StartJobProcessor.process


def process_start(processor: StartJobProcessor, req: Message, app_ctx: Any) -> Message:
    """Answer the server's request to start a job at a hospital: FLARE's `process`, after a look at the job.

    FLARE writes the description that comes with this request over the one that was deployed.

    Args:
        processor: FLARE's.
        req: The request.
        app_ctx: The site's engine.
    """
    job_id = req.get_header(RequestHeader.JOB_ID)
    workspace = Workspace(root_dir=app_ctx.args.workspace, site_name=app_ctx.get_client_name())
    try:
        _check_start(workspace, job_id, req.get_header(RequestHeader.JOB_META))
    except ConfigurationError as error:
        reason = reject_job(error, job_id)
        return Message(topic=f"reply_{req.topic}", body=f"{ERROR_MSG_PREFIX}: {reason}")
    return FLARES_START(processor, req, app_ctx)


def deployment_fault(
    workspace: Workspace, side: SiteKind, job_id: Any, meta: Any, app_name: Any, app: Any
) -> str | None:
    """Return why a site rejects an app, and record that; None if it accepts it.

    Args:
        workspace: The site's.
        side: What the site is.
        job_id: The job's id.
        meta: The job's description.
        app_name: The app's name.
        app: The app's archive.
    """
    try:
        _check(workspace, side, job_id, meta, app_name, app)
    except ConfigurationError as error:
        return reject_job(error, job_id)
    return None


def _check(workspace: Workspace, side: SiteKind, job_id: Any, meta: Any, app_name: Any, app: Any) -> None:
    checked = _check_description(job_id, meta)
    if app_name != APP:
        raise JobRejected(
            f"its app is {str(app_name)[:80]!a}; a job of Consilium has one, {APP!r}",
            code=RefusalCode.JOB_CONTENT,
        )
    if not isinstance(app, bytes):
        raise JobRejected(
            f"its app comes as {type(app).__name__}, not as an archive", code=RefusalCode.JOB_ARCHIVE
        )
    files = read_archive(app)
    listed = tasks_listed_by(side, Path(workspace.get_root_dir()))
    check_app(files, class_fault, side, checked, listed=listed)
    _check_signature(workspace, side, files, checked)


def _check_start(workspace: Workspace, job_id: Any, meta: Any) -> None:
    checked = _check_description(job_id, meta)
    now = checked.model_dump(include=set(DECIDED))
    try:
        deployed = json.loads(Path(workspace.get_job_meta_path(job_id)).read_bytes())
    except (OSError, ValueError) as error:
        raise JobRejected(
            f"it was not deployed here ({type(error).__name__})", code=RefusalCode.JOB_UNKNOWN
        ) from None
    before = check_deployed_meta(deployed).model_dump(include=set(DECIDED))
    changed = sorted(key for key in DECIDED if now[key] != before[key])
    if changed:
        raise JobRejected(
            f"it was deployed with another {' and '.join(changed)}", code=RefusalCode.JOB_REPEATED
        )
    if require_signed_jobs(workspace, _STARTUP_CONFIG["client"]):
        AcceptedJobs(Path(workspace.get_root_dir())).check_start(checked)


def _check_description(job_id: Any, meta: Any) -> DeployedMeta:
    if not is_job_id(job_id):
        raise JobRejected(
            f"its id {str(job_id)[:80]!a} is none that FLARE gives a job", code=RefusalCode.JOB_DESCRIPTION
        )
    checked = check_deployed_meta(meta)
    if checked.job_id != job_id:
        raise JobRejected(
            f"it comes as job {job_id} and calls itself {checked.job_id}", code=RefusalCode.JOB_DESCRIPTION
        )
    return checked


def _check_signature(
    workspace: Workspace, side: SiteKind, files: dict[str, bytes], meta: DeployedMeta
) -> None:
    if not is_signed(files):
        if require_signed_jobs(workspace, _STARTUP_CONFIG[side]):
            raise JobRejected("it is not signed", code=RefusalCode.JOB_UNSIGNED)
        return
    startup = Path(workspace.get_startup_kit_dir())
    signature = verify_app(files, startup / "rootCA.pem")
    check_signer(signature, meta)
    if side == "client":
        AcceptedJobs(Path(workspace.get_root_dir())).accept(signature, meta)
