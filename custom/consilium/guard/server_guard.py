"""The server's own look at what users ask of it."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.job_def import JobMetaKey
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.server.authz import AuthzFilter
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.sec.audit import AuditService
from nvflare.private.fed.app.deployer import server_deployer
from nvflare.private.fed.server import admin, job_cmds
from nvflare.private.fed.server.job_meta_validator import JobMetaValidator
from nvflare.utils.job_launcher_utils import PORTABLE_RESOURCE_DEFAULT_KEY

from consilium.federation.replacement import replace
from consilium.guard.certain_server import CertainServer
from consilium.guard.guarded_cell import guard_messages
from consilium.guard.job_rules import MAX_BYTES, MAX_FILES, job_fault
from consilium.guard.job_validator import why_forbidden
from consilium.guard.loopback import guard_connections
from consilium.guard.refusals import audit_text

_DROPPED_DEFAULT = PORTABLE_RESOURCE_DEFAULT_KEY.removeprefix("@")


class ServerGuard(FLComponent):  # type: ignore[misc]
    """Refuse a job at its submission that no site would run, and put every refused command on record.

    FLARE builds both checks itself, before any component hears of an event, and offers no setting for them:
    of a submitted archive it looks at the description only, whatever its size, and it records commands after
    it has authorized them, so that a refused one leaves no trace. Built as a component of the server's
    `resources.json`, the guard puts its own in their place, and a server that verifies what comes while it
    still starts.

    Like a hospital's processes, the server's accept messages and connections by the guard's tables only, and
    pass nothing on from one hospital to another.

    Args:
        log_streams: Whether a hospital may stream its log files to the server.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0; the server doesn't start then.
    """

    def __init__(self, log_streams: bool = False) -> None:
        super().__init__()
        self.log_streams = log_streams
        guard_connections()
        guard_messages(log_streams=log_streams)
        replace(job_cmds, "JobMetaValidator", SubmittedJobValidator)
        replace(admin, "AuthzFilter", RecordedAuthorization)
        replace(server_deployer, "FederatedServer", CertainServer)


class RecordedAuthorization(AuthzFilter):  # type: ignore[misc]
    """FLARE's authorization of commands, with an audit entry for each that it refuses."""

    def pre_command(self, conn: Connection, args: list[str]) -> bool:
        """Authorize a command."""
        authorized: bool = super().pre_command(conn, args)
        if not authorized:
            _record(conn.get_prop(ConnProps.USER_NAME, "?"), "command refused", str(conn.command))
            _discard(conn.get_prop(ConnProps.FILE_LOCATION))
        return authorized


class SubmittedJobValidator(JobMetaValidator):  # type: ignore[misc]
    """FLARE's check of a submitted job, and before it one of the archive's size and content."""

    def validate(self, job_name: str, job_data: bytes | str) -> tuple[bool, str, dict[str, Any]]:
        """Look at a submitted archive.

        Args:
            job_name: Folder of the job within the archive.
            job_data: The file that holds the archive, as FLARE's server has received it.
        """
        fault = _archive_fault(job_name, Path(job_data)) if isinstance(job_data, str) else "it is no file"
        if fault is None:
            valid, reason, meta = super().validate(job_name, job_data)
            return valid, reason, _restore_default_resources(meta)
        reason = f"job {job_name!r} is refused: {fault}"
        _record("server policy", "job refused", reason)
        _discard(job_data)
        return False, reason, {}


def _restore_default_resources(meta: dict[str, Any]) -> dict[str, Any]:
    """Give `@default` of a job's resource_spec its `@` back.

    `nvflare job submit` of 2.9 reads `meta.json` through a HOCON parser that drops it. What every site is
    asked for would then be asked of a site named `default`, so of none.
    """
    spec = meta.get(JobMetaKey.RESOURCE_SPEC.value) if meta else None
    if not isinstance(spec, dict) or _DROPPED_DEFAULT not in spec or PORTABLE_RESOURCE_DEFAULT_KEY in spec:
        return meta
    restored = {
        PORTABLE_RESOURCE_DEFAULT_KEY if site == _DROPPED_DEFAULT else site: resources
        for site, resources in spec.items()
    }
    return {**meta, JobMetaKey.RESOURCE_SPEC.value: restored}


def _archive_fault(job_name: str, archive: Path) -> str | None:
    size = archive.stat().st_size
    if size > MAX_BYTES:
        return f"its archive has {size} bytes; at most {MAX_BYTES} are allowed"
    try:
        with ZipFile(archive) as zipped:
            entries = [entry for entry in zipped.infolist() if not entry.is_dir()]
            size = sum(entry.file_size for entry in entries)
            if size > MAX_BYTES or len(entries) > MAX_FILES:
                return (
                    f"it unpacks to {size} bytes in {len(entries)} files; at most {MAX_BYTES} bytes in "
                    f"{MAX_FILES} files are allowed"
                )
            names = {posixpath.relpath(entry.filename, job_name): entry for entry in entries}
            return job_fault(names, lambda name: zipped.read(names[name]), why_forbidden)
    except (BadZipFile, NotImplementedError, RuntimeError) as error:
        return f"its archive can't be read ({type(error).__name__})"


def _record(user: str, action: str, what: str) -> None:
    AuditService.add_event(user=user, action=action, msg=audit_text(what))


def _discard(upload: Any) -> None:
    """Remove a refused upload: FLARE would leave it in the system's temporary folder."""
    if isinstance(upload, str):
        with suppress(OSError):
            Path(upload).unlink()
