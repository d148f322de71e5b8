"""The site's check of a deployed job, as an app validator of FLARE."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from nvflare.apis.app_validation import AppValidator
from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.app_common.widgets.component_path_authorizer import ComponentPathAuthorizer
from nvflare.fuel.sec.audit import AuditService

from consilium.errors import ConfigurationError, JobRejected, RefusalCode
from consilium.federation.site.local_settings import listed_tasks
from consilium.guard.archive import check_size
from consilium.guard.audit_log import audit_text
from consilium.guard.guarded_cell import messages_are_guarded
from consilium.guard.job_rules import check_app
from consilium.guard.parties import SiteKind
from consilium.records.remedies import remedy_for


class FlareAppValidator(AppValidator):  # type: ignore[misc]
    """Reject an app that is more than one of our recipes writes, or names a class that this site forbids.

    FLARE calls it at the server and at every hospital when a job is deployed: `app_validator` in the site's
    `resources.json`. The server gets the reason, the site's audit log an entry. What is unpacked then has
    passed the same check before (`guard.deployment`); this is FLARE's own place for it, which depends on no
    replaced class.

    Args:
        side: What the site is.

    Raises:
        ConfigurationError: If it is neither; the site doesn't start then.
    """

    def __init__(self, side: SiteKind) -> None:
        if side not in get_args(SiteKind):
            raise ConfigurationError(
                f"FlareAppValidator: side is {side!r}; allowed: {', '.join(get_args(SiteKind))}"
            )
        self._side = side

    def validate(self, app_folder: str) -> tuple[str, dict[str, object]]:
        """Check a deployed app; returns the reason to reject it, empty if there is none."""
        app = Path(app_folder).resolve()
        if not messages_are_guarded():
            fault = JobRejected(
                "this site's resources.json lacks the component `guard`", code=RefusalCode.JOB_GUARD
            )
            return reject_job(fault, app.parent.name), {}
        try:
            # FLARE deploys into WORKSPACE/JOB/APP.
            check_app(
                _read_folder(app),
                class_fault,
                self._side,
                listed=tasks_listed_by(self._side, app.parents[1]),
            )
        except ConfigurationError as error:
            return reject_job(error, app.parent.name), {}
        return "", {}


def tasks_listed_by(side: SiteKind, workspace: Path) -> frozenset[str] | None:
    """Return the tasks of other packages that may be imported in this process; None for any.

    Args:
        side: What the site is: a hospital's policy lists them, the server's operator installs them.
        workspace: The site's.
    """
    if side == "server":
        return None
    return listed_tasks(workspace / WorkspaceConstants.SITE_FOLDER_NAME / WorkspaceConstants.PRIVACY_CONFIG)


def reject_job(error: ConfigurationError, job_id: object) -> str:
    """Record a rejected job in the audit log; returns the reason for the server, with code and remedy.

    Args:
        error: What is wrong with it; one without a code is about the job's content.
        job_id: Its id, or what came in its place.
    """
    reason = describe_rejection(error)
    AuditService.add_event(
        user="site policy", action="job_rejected", ref=audit_text(str(job_id)), msg=audit_text(reason)
    )
    return reason


def describe_rejection(error: ConfigurationError, who: str = "this site rejects the job") -> str:
    """Return why a job is rejected, with the code and what its submitter can do.

    Args:
        error: What is wrong with it.
        who: The beginning of the sentence.
    """
    code = error.code if isinstance(error, JobRejected) else RefusalCode.JOB_CONTENT
    return f"{who} ({code.value}): {error}. What to do: {remedy_for(code)}"


def _read_folder(app: Path) -> dict[str, bytes]:
    paths = sorted(app.rglob("*"))
    if any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in paths):
        raise JobRejected("it holds a link or another special file", code=RefusalCode.JOB_ARCHIVE)
    size = sum(path.stat().st_size for path in paths if path.is_file())
    check_size(size, len(paths), "it has")
    return {
        f"{path.relative_to(app).as_posix()}{'/' if path.is_dir() else ''}": (
            b"" if path.is_dir() else path.read_bytes()
        )
        for path in paths
    }


def class_fault(class_path: str) -> str | None:
    """Say why the `class_allow_list` of this process's site forbids a class path; None if it doesn't."""
    try:
        ComponentPathAuthorizer().authorize_component_config({"path": class_path})
    except UnsafeComponentError:
        return "it is not in the class_allow_list of this site"
    return None
