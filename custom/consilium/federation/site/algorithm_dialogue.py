"""A site's exchange with the job's algorithm: its questions, and updates as they leave the site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel

from consilium.federation.message_names import QUESTION_META, RUN_META
from consilium.federation.site.replies import (
    check_answer,
    check_outgoing,
    check_sealed,
    read_request,
    read_sets,
    to_answer,
)
from consilium.learning.algorithms import site_dialogue
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.dialogue import SitePlace, UpdateOrigin
from consilium.learning.rounds import TrainingResult
from consilium.learning.weights import MODEL, Weights, WeightSets, difference, join_sets
from consilium.participant.site_settings import Role, SiteSettings
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores


class AlgorithmDialogue:
    """Passes questions and updates to the algorithm's dialogue, and checks what would leave the site.

    Args:
        algorithm: What the job decides about it.
    """

    def __init__(self, algorithm: AlgorithmSettings) -> None:
        self._algorithm = algorithm
        self._dialogue = site_dialogue(algorithm)

    def answer(self, question: str, shareable: Shareable, place: SitePlace) -> Shareable:
        """Answer a question of the algorithm's own; no case is read for it.

        Args:
            question: Its name.
            shareable: The task.
            place: Where the site takes part.

        Raises:
            SiteRefusal: If the site declines.
            TrainingError: If the algorithm would send something that it doesn't declare.
        """
        request = read_request(shareable)
        self._dialogue.enter(place)
        answer = self._dialogue.answer(question, _content(request), read_sets(request, self._algorithm))
        return to_answer(check_answer(answer, question, self._algorithm), request)

    def trains_now(self, request: FLModel, place: SitePlace) -> bool:
        """Return whether the site trains in a round; otherwise it evaluates the received model only.

        Args:
            request: The task.
            place: Where the site takes part.

        Raises:
            SiteRefusal: If the site declines.
        """
        self._dialogue.enter(place)
        return self._dialogue.trains_now(_content(request), place)

    def update(
        self,
        result: TrainingResult,
        received: Weights,
        request: FLModel,
        place: SitePlace,
        cases: int,
        learning: LearningSettings,
        scores: Scores,
        protect: Callable[[Weights], Weights] = lambda update: update,
    ) -> Weights:
        """Return the weights that leave the site after a round: only shared and declared ones, sealed.

        Args:
            result: Of the training.
            received: The model that it started from.
            request: The task.
            place: Where the site takes part.
            cases: Its training cases.
            learning: The job's learning settings.
            scores: Of the received model on validation patients.
            protect: The hospital's own protection, whatever the algorithm does with the update after it.

        Raises:
            SiteRefusal: If the site declines to send it.
            TrainingError: If the algorithm would send something else, or it can't be protected.
        """
        check_outgoing(result, self._algorithm)
        shared = self._algorithm.shared(received)
        sets: WeightSets = {MODEL: protect(difference(result.weights, shared)), **result.sent}
        return self._seal(sets, shared, request, place, cases, learning, result.loss, scores)

    def scores(
        self,
        received: Weights,
        request: FLModel,
        place: SitePlace,
        cases: int,
        learning: LearningSettings,
        scores: Scores,
    ) -> Weights:
        """Return what an algorithm that sums the sites' scores sends of an evaluation: no update.

        Args:
            received: The model that was evaluated.
            request: The task.
            place: Where the site takes part.
            cases: Its training cases.
            learning: The job's learning settings.
            scores: On validation patients.

        Raises:
            SiteRefusal: If the site declines to send it.
            TrainingError: If the algorithm would send something else.
        """
        sets: WeightSets = {name: {} for name in self._algorithm.declaration.sent}
        shared = self._algorithm.shared(received)
        return self._seal(sets, shared, request, place, cases, learning, None, scores)

    def _seal(
        self,
        sets: WeightSets,
        shared: Weights,
        request: FLModel,
        place: SitePlace,
        cases: int,
        learning: LearningSettings,
        loss: float | None,
        scores: Scores,
    ) -> Weights:
        self._dialogue.enter(place)
        number, rounds = int(request.current_round), request.total_rounds
        origin = UpdateOrigin(shared, cases, number, rounds, learning, loss, scores)
        sealed = self._dialogue.seal(sets, _content(request), origin)
        return join_sets(check_sealed(sealed, sets, self._algorithm))


def site_place(fl_ctx: FLContext, site: SiteSettings, shareable: Shareable, role: Role) -> SitePlace:
    """Return where a site takes part in a job.

    Args:
        fl_ctx: A context of the job.
        site: The hospital's settings.
        shareable: The task.
        role: The site's role in this job.
    """
    run = (read_request(shareable).meta or {}).get(RUN_META)
    return SitePlace(
        site=str(fl_ctx.get_identity_name()),
        job=str(fl_ctx.get_job_id()),
        run=str(run),
        trains=role == "trains",
        local=Path(fl_ctx.get_engine().get_workspace().get_site_config_dir()),
        state=site.state_dir,
    )


def _content(request: FLModel) -> Mapping[str, Any]:
    content = (request.meta or {}).get(QUESTION_META)
    return content if isinstance(content, Mapping) else {}
