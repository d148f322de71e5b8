"""The local-only model of a hospital: trained as in the federation, without the other sites."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consilium.learning.network_state import initial_weights
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.weights import MODEL, Weights
from consilium.participant.participant import Participant
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings

_logger = logging.getLogger(__name__)

OnRoundStep = Callable[[int, int, int], None]
"""Called with the round that is trained, from 0, its steps done and its steps in all."""

OnRound = Callable[[int, Weights, float | None], None]
"""Called with the rounds done, the model after them and the last one's mean loss.

The loss is None for the model from which an interrupted training resumes.
"""


@dataclass(frozen=True)
class PairedScores:
    """The scores of both models on one case. It names a patient and never leaves the site.

    Attributes:
        case: The case's id.
        patient: Whose it is.
        local: Of the local-only model; see `score_case`.
        federated: Of the federation's final model.
    """

    case: str
    patient: str
    local: Mapping[str, float]
    federated: Mapping[str, float]


def train_local_only(
    participant: Participant,
    learning: LearningSettings,
    rounds: int,
    *,
    start: Weights | None = None,
    memory: Path | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_step: OnRoundStep = lambda index, step, steps: None,
    on_round: OnRound = lambda number, weights, loss: None,
) -> Weights:
    """Train a model on one site's cases only; returns its weights.

    It starts from the weights that the federation starts from and makes the same rounds of the same steps
    with the same learning rates, on the samples that the site draws in the federation's rounds. The one
    difference is that no round begins with an average.

    Args:
        participant: The site, with a new optimizer and the same `memory`.
        learning: The federation's settings.
        rounds: The federation's rounds.
        start: The model that the federation starts from; None where it starts from drawn weights.
        memory: Folder that keeps the model after each round; training resumes from the last one that is
            there. None to train in one go.
        cancelled: Asked before every step.
        on_step: See `OnRoundStep`.
        on_round: See `OnRound`.

    Raises:
        Cancelled: Within one step after `cancelled` turned true; the rounds before are kept.
        SiteRefusal: As in a round of the federation.
        TrainingError: As in a round of the federation.
    """
    weights = initial_weights(get_task(learning.task), learning, learning.seed) if start is None else start
    first = 0
    if (kept := RoundStateStore(memory).recall(rounds)) is not None:
        weights, first = kept.arrays[MODEL], kept.number
        _logger.info("resuming the local-only model after round %d of %d", first, rounds)
        on_round(first, weights, None)
    for index in range(first, rounds):

        def report(step: int, steps: int, loss: float | None, *, index: int = index) -> None:
            on_step(index, step, steps)

        result = participant.train(weights, Schedule(index, rounds), cancelled=cancelled, on_step=report)
        weights = result.weights
        on_round(index + 1, weights, result.loss)
    return weights


def score_both(
    participant: Participant,
    local: Weights,
    federated: Weights,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[PairedScores]:
    """Score both models, as final ones, on the cases that the site may answer about.

    Args:
        participant: The site.
        local: The local-only model.
        federated: The federation's final model.
        cancelled: Asked before every case.
        on_case: Called with the cases done and the cases in all, over both models.

    Returns:
        The scores by case; a case that can no longer be read takes its group with it, see `SiteData.without`.

    Raises:
        Cancelled: Within one case after `cancelled` turned true.
        SiteRefusal: If too many of the site's cases can no longer be read.
    """
    by_case = []
    for place, weights in enumerate((local, federated)):

        def report(done: int, total: int, *, place: int = place) -> None:
            on_case(place * total + done, 2 * total)

        scores = participant.score(weights, final=True, cancelled=cancelled, on_case=report)
        by_case.append(dict(zip((case.id for case in participant.data.test), scores, strict=True)))
    return [
        PairedScores(case.id, case.patient, by_case[0][case.id], by_case[1][case.id])
        for case in participant.data.test
    ]
