"""Publication of a job's outcome to users and sites."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.utils.job_utils import get_event_job_id
from nvflare.apis.workspace import Workspace
from pydantic import ValidationError

from consilium.data.files import private_folder, write_atomically
from consilium.federation.message_names import OUTCOME_META
from consilium.records.federation import OutcomeKind
from consilium.records.progress import Ended, EndReason, JobProgress

JOB_ENDED_TOPIC: Final = "consilium.job_ended"
"""Message from the server to a job's sites; it holds `outcome`."""

_FOLDER = Path("consilium/outcomes")
_MOST_REASONS = 10
_SECONDS_TO_HEAR = 2.0


def save_outcome(fl_ctx: FLContext, progress: JobProgress) -> None:
    """Save a job's outcome for `JobOutcomes` in the server's main process."""
    if progress.ended is None:
        return
    reasons = progress.ended.reasons
    if len(reasons) > _MOST_REASONS:
        more = f"and {len(reasons) - _MOST_REASONS} more; the job's report has them all"
        reasons = [*reasons[:_MOST_REASONS], EndReason(text=more)]
    ended = progress.ended.model_copy(update={"reasons": reasons})
    path = _path(fl_ctx.get_engine().get_workspace(), str(fl_ctx.get_job_id()))
    private_folder(path.parent)
    write_atomically(path, ended.model_dump_json().encode())


def announce_outcome(fl_ctx: FLContext, kind: OutcomeKind) -> None:
    """Send the outcome to the job's sites, without reasons: those are about other hospitals as well."""
    fl_ctx.get_engine().send_aux_request(
        targets=None,
        topic=JOB_ENDED_TOPIC,
        request=Shareable({"outcome": kind}),
        timeout=_SECONDS_TO_HEAR,
        fl_ctx=fl_ctx,
        optional=True,
        secure=False,
    )


class JobOutcomes(FLComponent):  # type: ignore[misc]
    """Writes each job's outcome into its metadata, for every user who may list jobs.

    FLARE calls a job completed whether or not all hospitals took part. This component of the server's
    `resources.json` adds `outcome`: success, partial or failure, with the reasons.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Publish the outcome of a job that has just ended; the event is fired in the main process only."""
        if event_type != EventType.JOB_COMPLETED:
            return
        job_id, engine = str(get_event_job_id(fl_ctx)), fl_ctx.get_engine()
        path = _path(engine.get_workspace(), job_id)
        try:
            ended = Ended.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return  # its process was killed, or it is not a Consilium job
        except (ValidationError, OSError) as error:
            self.log_warning(fl_ctx, f"the outcome of {job_id} can't be read: {error}", fire_event=False)
            return
        jobs = engine.get_component(SystemComponents.JOB_MANAGER)
        jobs.update_meta(job_id, {OUTCOME_META: ended.model_dump(mode="json")}, fl_ctx)
        path.unlink(missing_ok=True)


def _path(workspace: Workspace, job_id: str) -> Path:
    return Path(workspace.get_root_dir()) / _FOLDER / f"{job_id}.json"
