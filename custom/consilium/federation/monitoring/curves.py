"""TensorBoard events of each site's loss and scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.utils.file_utils import resolve_path_under_root
from nvflare.app_opt.tracking.tb.tb_event_writer import TensorBoardEventWriter
from pydantic import ValidationError

from consilium.federation.message_names import TEST
from consilium.federation.monitoring.job_events import ANSWER_TAKEN, TASK_ASKED, event_data
from consilium.records.federation import SiteReport

EVENTS_FOLDER: Final = "tb_events"
"""In the job's run folder, with a folder for each site."""


class ScoreCurves(FLComponent):  # type: ignore[misc]
    """Writes curves of the answers that the controller has accepted.

    FLARE's own receiver writes anything that sites send while they work: any tag, text or picture, without
    limit, in a folder named by the message.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder: Path | None = None
        self._writers: dict[str, Any] = {}
        self._set = "validation"

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Write the loss and the scores of an answer that counts."""
        if event_type == EventType.START_RUN:
            run_folder = fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id())
            self._folder = Path(run_folder) / EVENTS_FOLDER
        elif event_type == TASK_ASKED:
            self._set = "test" if event_data(fl_ctx)["task"] == TEST else "validation"
        elif event_type == ANSWER_TAKEN and self._folder is not None:
            self._write(self._folder, event_data(fl_ctx))
        elif event_type == EventType.END_RUN:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()

    def _write(self, folder: Path, answer: dict[str, Any]) -> None:
        site = answer["site"]
        for tag, value in _scalars(answer, self._set):
            if site not in self._writers:
                own = resolve_path_under_root(str(folder), site, "site")
                self._writers[site] = TensorBoardEventWriter(log_dir=own)
            self._writers[site].add_scalar(tag, value, answer["round"])


def _scalars(answer: dict[str, Any], patients: str) -> Iterator[tuple[str, float]]:
    try:
        loss = SiteReport.model_validate(answer["report"]).loss
    except ValidationError:
        return  # the answer to another question, such as whether it is ready
    if loss is not None:
        yield "train/loss", loss
    for name, value in answer["scores"].items():
        yield f"{patients}/{name}", value
