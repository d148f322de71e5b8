"""Interface of a federated algorithm at the server: questions of a round, combined answers, the step.

The other half is in `consilium.learning.algorithms`, with the settings that both are made from.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from consilium.federation.component_state import DurableState
from consilium.federation.exchange.answer_form import Absence
from consilium.federation.message_names import TRAIN
from consilium.federation.transport.array_table import ALIGNMENT
from consilium.federation.updates.intake import Aggregate, Aggregator
from consilium.federation.updates.screening import Screening
from consilium.federation.updates.summed_answers import SummedAnswers
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.weights import MODEL, Weights, WeightSets
from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class AlgorithmJob:
    """Settings of a job that an algorithm needs.

    Attributes:
        learning: How the sites train.
        rounds: Rounds of training.
        aggregation: How updates combine, as the job says it: the fields of an algorithm's own model, such as
            `AggregationSettings`.
        screening: What is known of updates; only an algorithm that sees them in the clear uses it.
    """

    learning: LearningSettings
    rounds: int
    aggregation: Mapping[str, Any]
    screening: Screening


@dataclass(frozen=True)
class RoundStart:
    """Start of a round: its number, weights and folder.

    Attributes:
        index: The round, from 0.
        weights: The global model.
        folder: Where the round may keep what arrives; removed when it is closed.
        job: The job's id.
        attempt: Which attempt at the round it is, from 1.
        trainers: The connected sites that train and are not excluded, by name.
        known_trainers: The same with those that are not connected now.
    """

    index: int
    weights: Weights
    folder: Path
    job: str = ""
    attempt: int = 1
    trainers: tuple[str, ...] = ()
    known_trainers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """One question of a round, to every site that is connected.

    Attributes:
        aggregator: Takes the answers.
        task: `TRAIN`, once in every round, or one of the questions that the algorithm declares; `VALIDATE`
            once in `ServerAlgorithm.validation`. With `TRAIN` and `VALIDATE` the model is sent.
        sets: Weight sets that are sent, beside the model where there is one.
        content: Plain JSON values that are sent.
        among: Sites that may be asked; None for all. Others are left out, even if connected.
        without: Sites that are not asked this time, each with the reason.
        turn: With `TRAIN`, the only site that trains; the others evaluate, and count for the quorum all the
            same. None: all train, and those whose updates were taken count.
        quorum: Whether the sites that answer have to make the job's quorum; otherwise the algorithm decides
            whether they are enough.
        settled: Whether the answers so far are all that the algorithm needs; None to wait as the quorum says.
        patience_seconds: Wait for the others once it is settled.
        silence_seconds: A site that sends nothing for so long is not waited for once the others make the
            quorum. For questions that take no work to answer, so that a site which is gone delays nobody.
    """

    aggregator: Aggregator
    task: str = TRAIN
    sets: WeightSets = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)
    among: Collection[str] | None = None
    without: Mapping[str, Absence] = field(default_factory=dict)
    turn: str | None = None
    quorum: bool = True
    settled: Callable[[], bool] | None = None
    patience_seconds: float = 0.0
    silence_seconds: float = math.inf


class ServerAlgorithm(ABC):
    """Server side of an algorithm.

    A round asks `questions`, one after the other; after each, the sites that answered have to make the job's
    quorum, unless the question says otherwise. Then `combine` makes one aggregate of the answers, and `step`
    the next model. A round may be asked several times before it counts, each time from the beginning, so only
    `step` may change what is remembered. What `state` returns is made durable with every round; where a round
    is rolled back, it is restored with the model before it.

    Args:
        settings: What the job decides about the algorithm.
        job: What it decides beside that.

    Attributes:
        aggregation: How updates combine, with all defaults, for the job's record.

    Raises:
        ConfigurationError: If the job asks for something that the algorithm excludes.
    """

    def __init__(self, settings: AlgorithmSettings, job: AlgorithmJob) -> None:
        self.settings = settings
        self.job = job
        self.aggregation: Mapping[str, Any] = job.aggregation

    def begin(self, weights: Weights) -> None:  # noqa: B027 - a hook
        """Receive the model that the job starts or resumes with; before `restore`, if it resumes."""

    @abstractmethod
    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield the questions of a round in order; each may depend on earlier answers.

        Args:
            start: What the round starts from.

        Raises:
            RejectedUpdate: If the answers so far can't be used; the round is tried again.
        """

    @abstractmethod
    def combine(self) -> Aggregate:
        """Return the aggregate of the round's answers.

        Raises:
            RejectedUpdate: If there is none that can be used.
            OSError: If what was kept can't be read.
        """

    @property
    def summed(self) -> SummedAnswers | None:
        """What the sites' reports of the last questions add up to, where `sums_reports` says so."""
        return None

    @property
    def at_fault(self) -> Mapping[str, str]:
        """Sites that broke the algorithm's protocol, each with what it did, proven.

        The job continues without them.
        """
        return {}

    @property
    def opened_before(self) -> bool:
        """Whether sites may have opened another sum of this round, in an earlier try in this job."""
        return False

    def validation(self, start: RoundStart) -> Iterator[Question]:
        """Yield the questions of the last model's validation, where `sums_reports` says so.

        Args:
            start: The round behind the last one, with the model.

        Raises:
            RejectedUpdate: If the answers so far can't be used.
        """
        yield from ()

    def close(self) -> None:  # noqa: B027 - a hook
        """Release a round's answers; may be called without a round."""

    def step(self, weights: Weights, aggregate: Aggregate) -> Weights:
        """Return the global weights after a round: here, the sum. Weights that stay at the sites stay here.

        Args:
            weights: What the sites trained from.
            aggregate: Of their answers.
        """
        change = aggregate.sets[MODEL]
        # A step never changes what kind of numbers the model holds.
        return {
            name: np.asarray(value + change[name], dtype=np.asarray(value).dtype) if name in change else value
            for name, value in weights.items()
        }

    def largest_answer(self, weights: Weights) -> int:
        """Return how many bytes of arrays an answer has at most, before any allowance, as they are sent.

        Each array fills whole multiples of `ALIGNMENT`, which a network of few numbers consists of mostly.

        Args:
            weights: The global model.
        """
        model = sum(-(-np.asarray(value).nbytes // ALIGNMENT) * ALIGNMENT for value in weights.values())
        return model * (1 + len(self.settings.declaration.sent))

    def state(self) -> DurableState:
        """Return the durable state, such as a server optimizer's momentum."""
        return DurableState()

    def restore(self, state: DurableState) -> None:  # noqa: B027 - a hook
        """Continue from a `state`."""
