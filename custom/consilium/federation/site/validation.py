"""Scores of a round's model on a site's validation patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nvflare.apis.fl_context import FLContext
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel

from consilium.federation.site.replies import check_scores
from consilium.federation.site.state import StateReporter
from consilium.learning.weights import Weights
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores

if TYPE_CHECKING:
    from consilium.participant.participant import Participant


def validate_model(
    participant: Participant,
    weights: Weights,
    request: FLModel,
    learning: LearningSettings,
    state: StateReporter,
    fl_ctx: FLContext,
    abort: Signal,
) -> Scores:
    """Return scores on validation patients; none where they would be of too few patients to leave.

    Args:
        participant: The site.
        weights: The received model.
        request: The task.
        learning: The job's learning settings.
        state: Reports the progress.
        fl_ctx: A context of the job.
        abort: The job's signal.

    Raises:
        Cancelled: If the job was aborted.
        TrainingError: If the task would send other scores than it declares.
    """
    if not participant.validates:
        return {}
    scores = participant.summarize(
        participant.personalize(weights, request.current_round),
        final=False,
        cancelled=lambda: abort.triggered,
        on_case=lambda done, total: state.report(fl_ctx, "validating", done, total, of_cases=True),
    )
    return check_scores(scores, participant.evaluation, final=False, cases=participant.data.validated)
