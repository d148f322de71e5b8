"""Dialogue of an algorithm at a site: answers to its own questions, and updates as they leave the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consilium.errors import SiteRefusal
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.weights import Weights, WeightSets

if TYPE_CHECKING:
    from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class LocalAnswer:
    """Answer of a site to one of the algorithm's own questions.

    Attributes:
        content: Plain JSON values that fit the declared model of the question.
        sets: Weight sets; only declared ones.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    sets: WeightSets = field(default_factory=dict)


@dataclass(frozen=True)
class SitePlace:
    """Where and as whom a site takes part in a job.

    Attributes:
        site: The site's name.
        job: The job's id.
        run: Id of the job that the training began with, which stays the same when a job is resumed.
        trains: Whether the site trains, and not only evaluates.
        local: Folder of the hospital's own files, which no job changes.
        state: Folder of what the site remembers as long as it takes part in federations.
    """

    site: str
    job: str
    run: str
    trains: bool
    local: Path
    state: Path


@dataclass(frozen=True)
class UpdateOrigin:
    """What a site computed an update from.

    Attributes:
        received: The shared weights of the model that it received.
        cases: Its training cases.
        round_index: The round, from 0.
        rounds: How many rounds the server says there are; the learning rate follows from both.
        learning: The job's learning settings, as it has them.
        loss: Mean loss of the steps; None where there is none.
        scores: Of the received model on validation patients; empty where they stay.
    """

    received: Weights
    cases: int
    round_index: int
    rounds: int
    learning: LearningSettings
    loss: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


class SiteDialogue:
    """Part of an algorithm without a training process: answers questions and seals what is sent.

    It knows neither torch nor FLARE, so it may live in whatever process of the site answers the server.

    Args:
        settings: What the job decides about the algorithm.
    """

    def __init__(self, settings: AlgorithmSettings) -> None:
        self.settings = settings

    def enter(self, place: SitePlace) -> None:
        """Receive where the site takes part; called before anything else, possibly again."""

    def answer(self, question: str, content: Mapping[str, Any], sets: WeightSets) -> LocalAnswer:
        """Answer one of the declared questions.

        Args:
            question: Its name.
            content: Plain JSON values of the server's; whatever they are, they come from a stranger.
            sets: The weight sets that came with it.

        Raises:
            SiteRefusal: If this site declines.
        """
        raise SiteRefusal(f"this algorithm has no question {question!r}")

    def trains_now(self, content: Mapping[str, Any], place: SitePlace) -> bool:
        """Return whether this site trains in the round, or evaluates the received model only.

        Args:
            content: What the server's training task says to the algorithm; it comes from a stranger.
            place: Where the site takes part.

        Raises:
            SiteRefusal: If the content doesn't show it; the site declines.
        """
        return True

    def seal(self, sets: WeightSets, content: Mapping[str, Any], origin: UpdateOrigin) -> WeightSets:
        """Return an update as it leaves the site, such as masked.

        Args:
            sets: The difference under `MODEL`, and the declared sets. No difference where the received model
                was evaluated only.
            content: What the server's training task said to the algorithm.
            origin: What the update was computed from.

        Raises:
            SiteRefusal: If this site declines to send it.
        """
        return sets
