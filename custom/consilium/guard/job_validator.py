"""The site's own look at what a job brings, before anything of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from nvflare.apis.app_validation import AppValidator
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.app_common.widgets.component_path_authorizer import ComponentPathAuthorizer
from nvflare.fuel.sec.audit import AuditService

from consilium.errors import ConfigurationError
from consilium.guard.job_rules import MAX_BYTES, MAX_FILES, Side, app_fault
from consilium.guard.refusals import audit_text


class JobValidator(AppValidator):  # type: ignore[misc]
    """Refuse an app that is more than configuration, or names a class that this site doesn't allow.

    FLARE calls it at the server and at every hospital when a job is deployed: `app_validator` in the site's
    `resources.json`. The server gets the reason, the site's audit log an entry.

    Args:
        side: What the site is.

    Raises:
        ConfigurationError: If it is neither; the site doesn't start then.
    """

    def __init__(self, side: Side) -> None:
        if side not in get_args(Side):
            raise ConfigurationError(f"JobValidator: side is {side!r}; allowed: {', '.join(get_args(Side))}")
        self._side = side

    def validate(self, app_folder: str) -> tuple[str, dict[str, object]]:
        """Look at a deployed app; returns the reason to refuse it, empty if there is none."""
        app = Path(app_folder).resolve()
        fault = _find_fault(app, self._side)
        if fault is None:
            return "", {}
        reason = f"this site refuses the job: {fault}"
        AuditService.add_event(
            user="site policy", action="job refused", ref=app.parent.name, msg=audit_text(reason)
        )
        return reason, {}


def _find_fault(app: Path, side: Side) -> str | None:
    paths = sorted(app.rglob("*"))
    files = {path.relative_to(app).as_posix(): path for path in paths if path.is_file()}
    size = sum(path.stat().st_size for path in files.values())
    if any(path.is_symlink() for path in paths):
        return "it holds a link"
    if any(path.name == "custom" for path in paths):
        return "it brings code of its own (custom), which nobody may; a job is configuration only"
    if size > MAX_BYTES or len(files) > MAX_FILES:
        return (
            f"it has {size} bytes in {len(files)} files; at most {MAX_BYTES} bytes in {MAX_FILES} files "
            "are allowed"
        )
    return app_fault(files, lambda name: files[name].read_bytes(), why_forbidden, side)


def why_forbidden(class_path: str) -> str | None:
    """Say why the `class_allow_list` of this process's site forbids a class path; None if it doesn't."""
    try:
        ComponentPathAuthorizer().authorize_component_config({"path": class_path})
    except UnsafeComponentError:
        return "it is not in the class_allow_list of this site"
    return None
