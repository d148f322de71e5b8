"""The model that a site ends with where an algorithm leaves it weights of its own; it stays at the site."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nvflare.apis.fl_context import FLContext
from nvflare.apis.signal import Signal
from nvflare.apis.workspace import Workspace
from nvflare.app_common.abstract.fl_model import FLModel

from consilium.data.files import private_folder
from consilium.learning.model_file import BEST_MODEL, LAST_MODEL, save_model
from consilium.learning.weights import Weights
from consilium.tasks.learning_settings import LearningSettings

if TYPE_CHECKING:
    from consilium.participant.participant import Participant

PERSONAL_FOLDER: Final = "personal_model"
"""In a training's memory, in the simulator in the site's run folder: this site's final and best model, in the
form of a result."""

_logger = logging.getLogger(__name__)


def use_personal_model(
    participant: Participant,
    weights: Weights,
    request: FLModel,
    learning: LearningSettings,
    fl_ctx: FLContext,
    abort: Signal,
) -> Weights:
    """Return a job's model as this site uses it, and keep it, so that the hospital can predict with it.

    Nothing is kept where the algorithm leaves the site no weights of its own; a full disk costs only the
    file.

    Args:
        participant: The site.
        weights: The model that is tested.
        request: The task, which says of which round it is.
        learning: The settings that it was trained with.
        fl_ctx: FLARE's context of the task.
        abort: Of the task; ends a choice within one case.
    """
    own = participant.choose(
        weights,
        request.current_round,
        request.total_rounds,
        cancelled=lambda: abort.triggered,
    )
    if own is weights:
        return own
    name = LAST_MODEL if request.current_round == request.total_rounds else BEST_MODEL
    folder = participant.memory or _run_folder(fl_ctx)
    metadata = {
        "learning": json.dumps(learning.model_dump(mode="json")),
        "round": str(request.current_round),
    }
    try:
        save_model(private_folder(folder / PERSONAL_FOLDER) / name, own, metadata)
    except OSError as error:
        _logger.warning("this site's own model could not be saved in %s: %s", folder, error.strerror)
    return own


def _run_folder(fl_ctx: FLContext) -> Path:
    """The job's folder in the site's workspace; the simulator's workspace is new for every job."""
    workspace: Workspace = fl_ctx.get_engine().get_workspace()
    return Path(workspace.get_run_dir(str(fl_ctx.get_job_id())))
