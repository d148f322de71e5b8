"""Guard of the server's processes, a FLARE component."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.job_def import JobMetaKey
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.server.authz import AuthzFilter
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.sec.audit import AuditService
from nvflare.private.fed.app.deployer import server_deployer
from nvflare.private.fed.server import admin, job_cmds, job_runner
from nvflare.private.fed.server.job_meta_validator import JobMetaValidator

from consilium.errors import ConfigurationError, JobRejected, RefusalCode
from consilium.federation.message_names import ABORT_META
from consilium.federation.replacement import replace, require_all_known
from consilium.federation.transport.set_up import set_up_server_process
from consilium.guard.archive import read_archive
from consilium.guard.audit_log import audit_text
from consilium.guard.authenticated_server import AuthenticatedServer
from consilium.guard.deployment_check import CheckedServerDeployer
from consilium.guard.flare_app_validator import class_fault, describe_rejection
from consilium.guard.guarded_cell import guard_messages
from consilium.guard.job_rules import check_job, restore_default_resources
from consilium.guard.loopback import guard_connections
from consilium.guard.workspace_lock import WorkspaceLock


class ServerGuard(FLComponent):  # type: ignore[misc]
    """Reject a job at its submission that no site would run, and record every rejected command.

    FLARE builds both checks itself, before any component hears of an event, and offers no setting for them:
    of a submitted archive it looks at the description only, whatever its size, and it records commands after
    it has authorized them, so that a rejected one leaves no trace. Built as a component of the server's
    `resources.json`, the guard puts its own in their place, a deployer that looks at a job before it removes
    or unpacks anything, and a server that verifies what comes while it still starts.

    Like a hospital's processes, the server's accept messages and connections by the guard's tables only, and
    pass nothing on from one hospital to another.

    Args:
        log_streams: Whether a hospital may stream its log files to the server.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0, or the kit runs already; the
            server doesn't start then.
    """

    def __init__(self, log_streams: bool = False) -> None:
        super().__init__()
        require_all_known()
        WorkspaceLock.hold()
        self.log_streams = log_streams
        guard_connections()
        guard_messages(log_streams=log_streams)
        set_up_server_process()
        replace(job_cmds, "JobMetaValidator", SubmittedJobValidator)
        replace(admin, "AuthzFilter", RecordedAuthorization)
        replace(server_deployer, "FederatedServer", AuthenticatedServer)
        replace(job_runner, "AppDeployer", CheckedServerDeployer)


class RecordedAuthorization(AuthzFilter):  # type: ignore[misc]
    """FLARE's authorization of commands: rejected ones are audited, an abort is noted in the job's meta."""

    def pre_command(self, conn: Connection, args: list[str]) -> bool:
        """Authorize a command."""
        authorized: bool = super().pre_command(conn, args)
        if authorized and args[:1] == ["abort_job"]:
            _note_abort(conn)
        if not authorized:
            _record(
                conn.get_prop(ConnProps.USER_NAME, "?"), RefusalCode.COMMAND_RIGHT.value, str(conn.command)
            )
            _discard(conn.get_prop(ConnProps.FILE_LOCATION))
        return authorized


class SubmittedJobValidator(JobMetaValidator):  # type: ignore[misc]
    """FLARE's check of a submitted job, after a check of the archive's size and content."""

    def validate(self, job_name: str, job_data: bytes | str) -> tuple[bool, str, dict[str, Any]]:
        """Look at a submitted archive.

        Args:
            job_name: Folder of the job within the archive.
            job_data: The file that holds the archive, as FLARE's server has received it.
        """
        try:
            if not isinstance(job_data, str):
                raise JobRejected("it is not a file", code=RefusalCode.JOB_ARCHIVE)
            check_job(_read_job(job_name, Path(job_data)), class_fault)
        except ConfigurationError as error:
            reason = describe_rejection(error, f"the server rejects job {job_name[:80]!a}")
        else:
            valid, reason, meta = super().validate(job_name, job_data)
            return valid, reason, restore_default_resources(meta)
        _record("server policy", "job_rejected", reason)
        _discard(job_data)
        return False, reason, {}


def _read_job(job_name: str, archive: Path) -> dict[str, bytes]:
    """The files of an archive that holds one folder, by their names in it."""
    entries = read_archive(archive)
    stranger = next((name for name in entries if not name.startswith(f"{job_name}/")), None)
    if "/" in job_name or stranger is not None:
        raise JobRejected("its archive is not one folder of the job's name", code=RefusalCode.JOB_ARCHIVE)
    return {name.removeprefix(f"{job_name}/"): content for name, content in entries.items()}


def _note_abort(conn: Connection) -> None:
    """Record in a job's metadata who aborts it, which FLARE records only in the audit log."""
    job_id, jobs = conn.get_prop(job_cmds.JobCommandModule.JOB_ID), conn.app_ctx.job_def_manager
    with conn.app_ctx.new_context() as fl_ctx:
        job = jobs.get_job(job_id, fl_ctx)
        if job is None or str(job.meta.get(JobMetaKey.STATUS.value)).startswith("FINISHED"):
            return
        aborted = {"by": conn.get_prop(ConnProps.USER_NAME, "?"), "time": time.time()}
        jobs.update_meta(job_id, {ABORT_META: aborted}, fl_ctx)


def _record(user: str, action: str, what: str) -> None:
    AuditService.add_event(user=user, action=action, msg=audit_text(what))


def _discard(upload: Any) -> None:
    """Remove a rejected upload: FLARE would leave it in the system's temporary folder."""
    if isinstance(upload, str):
        with suppress(OSError):
            Path(upload).unlink()
