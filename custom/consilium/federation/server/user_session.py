"""A user's session with a federation's server: the states of its jobs."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID
from nvflare.apis.fl_exception import FLCommunicationError
from nvflare.apis.job_def import DEFAULT_STUDY
from nvflare.fuel.common.excepts import ConfigError
from nvflare.fuel.flare_api.api_spec import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    JobNotFound,
    JobNotRunning,
    NoConnection,
)
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session
from pydantic import ValidationError

from consilium.counts import counted
from consilium.errors import ConfigurationError, ConsiliumError
from consilium.federation.message_names import (
    ABORT_META,
    INTERRUPTION_META,
    OUTCOME_META,
    RESUME_META,
    SECOND_STARTS_META,
    STATS_GROUP,
)
from consilium.processes import leave_threads_behind
from consilium.records.job_status import JobStatus
from consilium.records.progress import JobProgress

_ADMIN_FILE = "fed_admin.json"
_CERTIFICATE = "client.crt"
_SITE_FILES = {
    "fed_client.json": "a hospital; `consilium status --site KIT` is for it",
    "fed_server.json": "the server",
}
_CONNECT_SECONDS = 10.0
_COMMAND_SECONDS = 30.0
"""How long the answer to a command may take; FLARE's 5 s are too few for a busy server or a slow network."""
_ENDED = "FINISHED"


class SessionError(ConsiliumError):
    """A failed request to the server."""


class ServerUnreachable(SessionError):
    """A server that does not answer."""


@contextmanager
def open_session(kit: Path, *, study: str = DEFAULT_STUDY) -> Iterator[Session]:
    """Log in with a user's startup kit, as FLARE's console does.

    Args:
        kit: The folder that holds `startup/fed_admin.json`.
        study: Its jobs are listed.

    Raises:
        ConfigurationError: If it is not the kit of a user, or a damaged one.
        ServerUnreachable: If the server does not answer.
        SessionError: If it rejects the user.
    """
    _check_kit(kit)
    logging.getLogger("nvflare").setLevel(logging.CRITICAL)  # its message is in the error below
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    leave_threads_behind()
    with redirect_stdout(io.StringIO()):  # FLARE's API prints; standard output is for what was asked
        session = _log_in(kit, study)
        try:
            session.set_timeout(_COMMAND_SECONDS)
            yield session
        finally:
            session.close()


def read_job(session: Session, job_id: str) -> JobStatus:
    """Return one job.

    Args:
        session: From `open_session`.
        job_id: Its id, or the first characters of it.

    Raises:
        SessionError: If the server knows no such job, or several.
    """
    found = _list(session, id_prefix=job_id)
    if len(found) != 1:
        ids = ", ".join(str(one["job_id"]) for one in found)
        raise SessionError(
            f"{counted(len(found), 'job')} have an id that begins with {job_id!r}: {ids}"
            if found
            else f"the server knows no job {job_id!r} in this study; `consilium status` without an id shows "
            "those that run, `--study NAME` those of another study, `nvflare job list` all"
        )
    return _status(session, found[0])


def read_running_jobs(session: Session) -> list[JobStatus]:
    """Return the jobs that have not ended, the newest first; where there are none, the last one that has."""
    listed = _list(session)
    running = [one for one in listed if not str(one.get("status", "")).startswith(_ENDED)]
    return [_status(session, one) for one in running or listed[:1]]


def read_all_jobs(session: Session) -> list[JobStatus]:
    """Return all jobs, the newest first."""
    return [_status(session, one) for one in _list(session)]


def _log_in(kit: Path, study: str) -> Session:
    try:
        return new_secure_session(
            username=_user_of(kit),
            startup_kit_location=str(kit.resolve()),
            timeout=_CONNECT_SECONDS,
            study=study,
            auto_login_max_tries=1,
        )
    except (NoConnection, FLCommunicationError):  # the latter where it connects, and is too busy to answer
        raise ServerUnreachable(
            f"the server named in {kit}/startup/{_ADMIN_FILE} does not answer within {_CONNECT_SECONDS:g} s: "
            "is it started, does this machine reach its port, and is the kit of this federation?"
        ) from None
    except (AuthenticationError, AuthorizationError) as error:
        raise SessionError(
            f"the server does not let the user of {kit} in ({error}): the kit is of another federation, has "
            "expired or is disabled; ask the project admin"
        ) from None
    except (ConfigError, InternalError, ValueError) as error:
        raise SessionError(f"{kit} can't be used to log in: {error}; ask the project admin for it") from None


def _user_of(kit: Path) -> str:
    """Return the user's name from the certificate, which kits of `nvflare provision` require."""
    path = kit / "startup" / _CERTIFICATE
    try:
        subject = load_pem_x509_certificate(path.read_bytes()).subject
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is no certificate that can be read ({error}); ask the project admin for the kit again"
        ) from None
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _check_kit(kit: Path) -> None:
    startup = kit / "startup"
    if (startup / _ADMIN_FILE).is_file():
        return
    for name, owner in _SITE_FILES.items():
        if (startup / name).is_file():
            raise ConfigurationError(f"{kit} is the kit of {owner}; name the kit of a user of the console")
    raise ConfigurationError(
        f"{kit} is not the startup kit of a user: there is no startup/{_ADMIN_FILE}; name the folder that "
        "the project admin sent, for example scientist@consortium.example"
    )


def _list(session: Session, **filters: Any) -> list[dict[str, Any]]:
    try:
        return list(session.list_jobs(reverse=True, **filters))
    except (AuthorizationError, InternalError, NoConnection) as error:
        raise SessionError(f"the server does not list its jobs: {error}") from None


def _status(session: Session, listed: dict[str, Any]) -> JobStatus:
    job_id = str(listed["job_id"])
    try:
        meta = session.get_job_meta(job_id)
    except (JobNotFound, InternalError):
        meta = listed
    job = JobStatus(
        job_id=job_id,
        name=str(listed.get("job_name") or meta.get("name", "")),
        status=str(meta.get("status", listed.get("status", ""))),
        resumes=meta.get(RESUME_META),
    )
    said = {
        "ended": meta.get(OUTCOME_META),
        "interruption": meta.get(INTERRUPTION_META),
        "aborted": meta.get(ABORT_META),
    }
    try:
        if not job.status.startswith(_ENDED):
            said |= {
                "progress": _progress(session, job_id),
                "second_starts": meta.get(SECOND_STARTS_META) or {},
            }
        return JobStatus.model_validate({**job.model_dump(), **said})
    except ValidationError:
        return job  # the server has another version of Consilium: what FLARE says about the job still holds


def _progress(session: Session, job_id: str) -> JobProgress | None:
    try:
        stats = session.show_stats(job_id, "server")
    except (JobNotRunning, JobNotFound, InternalError):
        return None  # it has not begun, or has just ended
    progress = stats.get("server", {}).get(STATS_GROUP)
    return None if progress is None else JobProgress.model_validate(progress)
