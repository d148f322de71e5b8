"""Interface of a federated algorithm at a site: hooks around local training, and additional answers.

An algorithm has a half here and one at the server, in `consilium.federation.algorithms`. Both are made from
the same settings, which also declare what the two halves exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from pydantic import BaseModel

from consilium.learning.schedule import Schedule
from consilium.learning.weights import Weights, WeightSets
from consilium.privacy.promise import PrivacyPlan, PrivacyPromise
from consilium.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from consilium.learning.ranks import Ranks
    from consilium.tasks.learning_settings import LearningSettings

Batch: TypeAlias = "tuple[Tensor, Tensor, Tensor]"
"""Of a loader: images, what is to be learned, and the places of the cases that they are cut from."""

MAX_GRADIENT_NORM: Final = 12.0
"""Larger gradients are scaled to it: nnU-Net's value (Isensee et al. 2021, 10.1038/s41592-020-01008-z)."""


@dataclass(frozen=True)
class Declaration:
    """Declaration of what is exchanged besides the model and its difference; anything else is rejected.

    Attributes:
        received: Weight sets that a site receives with the model, by name.
        sent: Weight sets that a site sends with its difference. The weights of a set have the names, shapes
            and types of the shared weights of the model, unless the server's aggregator says otherwise.
        numbers: Plain numbers that a site sends with them, each with its smallest and largest value.
        questions: Tasks that the server may ask beside training, such as an exchange of keys, each with the
            model of the plain values that a site answers: bounded, unknown fields are errors.
    """

    received: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    questions: Mapping[str, type[BaseModel]] = field(default_factory=dict)


class AlgorithmSettings(Settings):
    """Settings of an algorithm, the same for the server and every site.

    A subclass has `name`, by which a job names the algorithm, and its own settings, each with two limits.
    """

    declaration: ClassVar[Declaration] = Declaration()

    caution: ClassVar[str] = ""
    """What a reader of the results has to know about them, in a sentence or two; shown by report and card."""

    personal_is_choice: ClassVar[bool] = False
    """Whether each site chooses by its validation patients, before a model is tested, between the received
    model and `Outgoing.personal`. Else that replaces the received weights in every evaluation."""

    personal_rounds: ClassVar[int] = 2
    """Rounds of which a site keeps its own weights. The best round's are needed at the job's end."""

    name: str

    def promise(self) -> PrivacyPromise:
        """Return what the job promises a site's patients, by its settings alone; by default nothing."""
        return PrivacyPromise()

    def privacy_plan(self, learning: LearningSettings, rounds: int, patients: int) -> PrivacyPlan | None:
        """Return the mechanisms that keep the promise at a site; None for an algorithm that promises nothing.

        Args:
            learning: What the job decides about training.
            rounds: How many rounds it trains.
            patients: Different patients in the site's training set.

        Raises:
            ConfigurationError: If the promise can't be kept.
        """
        return None

    @property
    def withholds_scores(self) -> bool:
        """Whether no score of validation patients leaves a site, and so none chooses a model."""
        return False

    @property
    def withholds_losses(self) -> bool:
        """Whether no training loss leaves a site."""
        return False

    def sum_noise(self, local: Path) -> float | None:
        """Return the noise that hides a site as a whole in a sum of updates, in norms that it is clipped to.

        Args:
            local: Folder of the hospital's own files, by which it knows how many of the others add noise.

        Returns:
            None where updates are not added up, or without noise.

        Raises:
            SiteRefusal: If the files can't be used.
        """
        return None

    @property
    def noise_of_one_site(self) -> float | None:
        """The noise that each site adds as its part of a sum's, in norms; None where none does."""
        return None

    @property
    def sums_reports(self) -> bool:
        """Whether a site's cases, losses and scores of validation patients leave it in sums only."""
        return False

    def stays(self, weight: str) -> bool:
        """Return whether a weight of the model is each site's own and never leaves it.

        Args:
            weight: Its name in the network.
        """
        return False

    def shared(self, weights: Weights) -> Weights:
        """Return the weights that sites and server share."""
        return {name: value for name, value in weights.items() if not self.stays(name)}


@dataclass(frozen=True)
class LocalRound:
    """A round of one training process, passed to the hooks.

    Attributes:
        schedule: Which round it is.
        start: The weights that training starts from: the global model, with this site's own where they stay.
        sets: The weight sets received with it, by name.
        network: What is trained, not wrapped for several processes.
        optimizer: What takes the steps.
        steps: Optimizer steps of the round.
        ranks: The processes that share every batch.
    """

    schedule: Schedule
    start: Weights
    sets: WeightSets
    network: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    ranks: Ranks


@dataclass(frozen=True)
class LocalStep:
    """One optimizer step of one training process.

    Attributes:
        images: This process's rows of the batch, on the device.
        target: What is to be learned from them.
        places: Places of the cases that the rows are cut from, in the list of training cases.
        loss: Mean loss of rows: images and target to a scalar, in full precision.
        backward: Computes the gradients of a loss, added to those that are there; over all processes they
            are those of the whole batch's mean.
        scaler: Has scaled the loss in `backward`; a hook that steps another optimizer unscales with it.
    """

    images: Tensor
    target: Tensor
    places: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor], None]
    scaler: torch.amp.GradScaler


@dataclass(frozen=True)
class Outgoing:
    """Results of a round besides the trained weights.

    Attributes:
        sets: Weight sets to be sent, by name; exactly the declared ones.
        numbers: Plain numbers to be sent; exactly the declared ones.
        personal: Weights that this site puts in place of the received ones when it evaluates the next model,
            such as a whole personal model; see `AlgorithmSettings.personal_is_choice`. Those that stay are
            added to them.
    """

    sets: WeightSets = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    personal: Weights = field(default_factory=dict)


@dataclass(frozen=True)
class LocalState:
    """State of an algorithm at a site between rounds.

    Attributes:
        arrays: Named sets of arrays.
        values: Plain JSON values.
    """

    arrays: WeightSets = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


class LocalAlgorithm:
    """Site side of an algorithm; this base class is plain local training.

    One object lives in each of the processes that train a site's network together. The hooks run in all of
    them, in the same order and with the same weights, so they have to do the same in each; what is sent comes
    from rank 0. A hook that draws random numbers takes a generator of its own, seeded by the round.

    A round that is repeated starts from `restore` with the state after the round before it, and has to give
    the same again.

    Args:
        settings: What the job decides about the algorithm.
        learning: What the job decides about training.

    Attributes:
        max_gradient_norm: Larger gradients are scaled down to this norm after `after_backward`; None: never.
        samples_per_patient: Samples of each patient that `draw_patients` chooses for a step. None for an
            algorithm that doesn't: its batches are the trainer's.
        withholds_losses: Whether no loss leaves the training processes, not even to the site itself.
        keeps_moments: Whether a round starts with the optimizer's moments after the round before it.
    """

    max_gradient_norm: float | None = MAX_GRADIENT_NORM
    samples_per_patient: int | None = None
    withholds_losses: bool = False
    keeps_moments: bool = True

    def __init__(self, settings: AlgorithmSettings, learning: LearningSettings) -> None:
        self.settings = settings
        self.learning = learning

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer | None:
        """Return the optimizer; None for the trainer's own, AdamW with the job's settings.

        The trainer sets its rates at every step, and keeps its state from round to round.
        """
        return None

    def begin(self, local: LocalRound) -> None:
        """Receive the start of a round."""

    def draw_patients(self, local: LocalRound, patients: int) -> Iterator[Sequence[int]]:
        """Yield, for each step, which patients this process computes it from; see `samples_per_patient`.

        A batch then has the samples of one patient after those of another, and is empty where nobody is
        drawn. Every patient's are augmented by themselves, nothing is averaged over processes, and the
        algorithm has to combine what each has computed.

        Args:
            local: The round.
            patients: How many there are; the first is 0.
        """
        raise NotImplementedError

    def batches(self, local: LocalRound, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Return the round's batches; by default, those of the trainer's loader."""
        return batches

    def compute_gradients(self, local: LocalRound, step: LocalStep) -> Tensor:
        """Compute the gradients of one step; returns the mean loss of this process's rows.

        An algorithm that looks at single patients takes them apart here.
        """
        loss = step.loss(step.images, step.target)
        term = self.loss_term(local)
        step.backward(loss if term is None else loss + term)
        return loss

    def loss_term(self, local: LocalRound) -> Tensor | None:
        """Return a term added to the batch's mean loss, such as a proximal term, or None."""
        return None

    def after_backward(self, local: LocalRound) -> None:
        """Change the gradients, before they are clipped."""

    def after_step(self, local: LocalRound) -> None:
        """Change the network's weights after an optimizer step."""

    def end(self, local: LocalRound) -> Outgoing:
        """Return additional answers besides the difference, after the last step."""
        return Outgoing()

    def state(self) -> LocalState:
        """Return the state to store after a round."""
        return LocalState()

    def restore(self, state: LocalState | None) -> None:
        """Continue from a `state`; None: from the beginning."""
