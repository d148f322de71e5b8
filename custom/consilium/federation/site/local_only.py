"""Comparison with a local-only model at the site; only its scores leave."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nvflare.apis.fl_context import FLContext
from nvflare.apis.signal import Signal

from consilium.data.files import private_folder, write_atomically
from consilium.errors import RefusalCode, SiteRefusal
from consilium.federation.site.state import StateReporter
from consilium.federation.site.training_folder import LOCAL_ONLY_FOLDER
from consilium.learning.weights import Weights
from consilium.participant.site_settings import SiteSettings
from consilium.tasks.learning_settings import LearningSettings

if TYPE_CHECKING:
    from consilium.participant.local_only import PairedScores
    from consilium.participant.participant import Participant

PATIENTS_FILE: Final = "patients.json"
"""In the same folder: what both models score on each case. It names patients."""

_logger = logging.getLogger(__name__)


def compare_with_local_only(
    participant: Participant,
    learning: LearningSettings,
    site: SiteSettings,
    federated: Weights,
    rounds: int,
    *,
    memory: Path | None,
    state: StateReporter,
    fl_ctx: FLContext,
    abort: Signal,
) -> list[PairedScores]:
    """Train a model on this site's cases alone, and score it and the federation's on the same patients.

    The model is kept after each round in the training's memory, so a process that takes over from one that
    was killed repeats no more than a round. It leaves the site in no message, and neither does its loss.

    Args:
        participant: This site in the federation. Its processes end, so that they hold no GPU meanwhile.
        learning: The job's settings.
        site: What the hospital decides.
        federated: The federation's final model.
        rounds: Rounds of the job.
        memory: Folder of the training's memory; None where it has none, as in the simulator.
        state: Reports to the server what this site is doing.
        fl_ctx: A context of the job.
        abort: Of the task.

    Returns:
        The scores of both models by case: they name patients.

    Raises:
        SiteRefusal: If the hospital allows no such model, or this site only evaluates.
        Cancelled: If the job was aborted.
    """
    if not site.local_only:
        raise SiteRefusal(
            "it trains no model of its own to compare with, as the hospital decided (local_only)",
            code=RefusalCode.NO_LOCAL_ONLY,
        )
    if participant.data.role == "evaluates":
        raise SiteRefusal(
            "this site only evaluates, so it has no model of its own to compare with",
            code=RefusalCode.ONLY_EVALUATES,
        )
    from consilium.participant.local_only import score_both, train_local_only
    from consilium.participant.participant import Participant

    participant.close()
    folder = None if memory is None else private_folder(memory / LOCAL_ONLY_FOLDER)
    alone = Participant(participant.data, learning, site, memory=folder)
    try:
        local = train_local_only(
            alone,
            learning,
            rounds,
            memory=folder,
            cancelled=lambda: abort.triggered,
            on_step=lambda index, step, steps: state.report(
                fl_ctx,
                f"training alone, round {index + 1} of {rounds}",
                step,
                steps,
                of_cases=learning.local_steps is None,
            ),
        )
        pairs = score_both(
            alone,
            local,
            federated,
            cancelled=lambda: abort.triggered,
            on_case=lambda done, total: state.report(fl_ctx, "comparing both models", done, total),
        )
    finally:
        alone.close()
        participant.data = alone.data  # without what could no longer be read
    if folder is not None:
        _write_patients(folder / PATIENTS_FILE, pairs)
    return pairs


def _write_patients(path: Path, pairs: Sequence[PairedScores]) -> None:
    try:
        write_atomically(path, json.dumps([asdict(pair) for pair in pairs], indent=1).encode())
    except OSError as error:
        _logger.warning("the scores of single patients could not be saved in %s: %s", path, error.strerror)
