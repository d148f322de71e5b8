"""Stochastic gradient descent with differential privacy by patient, at a site.

Abadi et al. 2016, arXiv:1607.00133, with a patient in place of an example: in every step each patient is
drawn with the same probability, contributes one clipped gradient, whatever the number of examinations, and
Gaussian noise hides whether it did. What follows from the noisy gradients (optimizer, updates, the
federation's models) is post-processing and spends nothing more.

Costs no bytes; at the site, memory of one patient's gradients beside the sum of all, and the ledger's entries
as state. A step takes about as long as a plain one on as many samples (docs/benchmarks.md), and more patients
are needed in it. Excludes secure aggregation so far, as a job has one algorithm, and nothing by its
mathematics: the update is post-processed. Losses and scores of validation patients don't leave.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.counts import counted
from consilium.errors import ConfigurationError, TrainingError
from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import MOST_EPSILON, PrivacyLevel, PrivacyPlan, PrivacyPromise, promised_delta

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from consilium.learning.algorithms.base import LocalRound, LocalStep, Outgoing
    from consilium.learning.patient_gradients import PatientGradients
    from consilium.tasks.learning_settings import LearningSettings

_logger = logging.getLogger(__name__)

Trainable: TypeAlias = Literal["all", "last_layers", "norms"]
"""Which weights are trained: all, those of the last layers, or those of normalization layers."""


class DpSgdAlgorithmSettings(AlgorithmSettings):
    """Settings of DP-SGD; `learning.batch_size` is the expected number of patients a step.

    The noise is no setting: each site computes it from epsilon, delta, the job's steps and its own number of
    patients. With `learning.local_steps`, the number of steps doesn't depend on the data.
    """

    caution: ClassVar[str] = (
        "The hospitals trained with differential privacy by patient: their updates have noise, and no "
        "training loss left a hospital. At the level formal, no score of validation patients did either: "
        "rounds have none, and the model is the last round's. Scores of test patients are not covered by "
        "epsilon."
    )

    name: Literal["dp_sgd"] = "dp_sgd"
    level: Literal["formal", "reconstruction"] = Field(
        default="formal",
        description="What is promised: formal, that hardly anybody can find out whether a patient took part "
        "(epsilon up to 10); reconstruction, only that images can't be reconstructed.",
    )
    epsilon: float | None = Field(
        default=None,
        ge=0.01,
        le=MOST_EPSILON,
        description="Most that the whole job may spend of a patient; default: 8, or 1000 for reconstruction.",
    )
    delta: float | None = Field(
        default=None,
        ge=1e-10,
        le=0.01,
        description="Probability that the promise doesn't hold; default, and at most: 1 / (10 N) at a site "
        "with N training patients.",
    )
    clip: float = Field(
        default=1.0,
        ge=1e-4,
        le=1e4,
        description="Euclidean norm that a patient's gradient is scaled down to; the sensitivity.",
    )
    samples_per_patient: int = Field(default=2, ge=2, le=64, description="Samples of a drawn patient a step.")
    trainable: Trainable = Field(
        default="all",
        description="Which weights are trained: the fewer, the less noise in all. The others stay as they "
        "were, which makes sense for a model that was trained before.",
    )
    last_layers: int = Field(
        default=1, ge=1, le=1000, description="How many layers with weights are the last ones."
    )

    @property
    def target_epsilon(self) -> float:
        """Most that the whole job may spend of a patient."""
        return PrivacyLevel(self.level).usual if self.epsilon is None else self.epsilon

    def promise(self) -> PrivacyPromise:
        """Return epsilon and delta."""
        return PrivacyPromise(epsilon=self.target_epsilon, delta=self.delta)

    def privacy_plan(self, learning: LearningSettings, rounds: int, patients: int) -> PrivacyPlan:
        """Return the steps of a round with the least noise that keeps the promise in all rounds.

        Raises:
            ConfigurationError: If no noise keeps it, or the number of steps depends on the data.
        """
        from consilium.privacy.accounting import find_noise_multiplier

        if learning.local_steps is None:
            raise ConfigurationError(
                "learning.local_epochs with differential privacy makes the number of steps depend on the "
                "data; give local_steps"
            )
        delta = promised_delta(patients, self.delta)
        rate = min(1.0, learning.batch_size / patients)
        steps = learning.local_steps
        sigma = find_noise_multiplier(self.target_epsilon, delta, rate, rounds * steps)
        return PrivacyPlan((SampledGaussian(noise_multiplier=sigma, sampling_rate=rate, steps=steps),), delta)

    @property
    def withholds_scores(self) -> bool:
        """Whether no score of validation patients leaves: where the promise is formal."""
        return self.level == PrivacyLevel.FORMAL.value

    @property
    def withholds_losses(self) -> bool:
        """Whether no training loss leaves: always, as noise covers the gradients only."""
        return True

    @model_validator(mode="after")
    def _check_level(self) -> Self:
        reached = PrivacyLevel.of(self.target_epsilon)
        if not reached.reaches(PrivacyLevel(self.level)):
            raise ValueError(
                f"an epsilon of {self.target_epsilon:g} is no {self.level} protection; allowed: at most 10, "
                "or level reconstruction"
            )
        return self


class LocalDpSgd(LocalAlgorithm):
    """Takes steps on patients drawn at random, each patient's gradient clipped, with Gaussian noise.

    Noise and patients are drawn by the operating system's generator, again in every round, also in one that
    is repeated: two updates with the same noise could be subtracted. One process draws the noise; the others
    add their patients' exact sums to it.

    Sigma, sampling rate and number of steps are those that the site's ledger has paid for.

    Args:
        settings: What the job decides about the algorithm.
        learning: What the job decides about training.
    """

    max_gradient_norm = None
    withholds_losses = True

    def __init__(self, settings: AlgorithmSettings, learning: LearningSettings) -> None:
        super().__init__(settings, learning)
        assert isinstance(settings, DpSgdAlgorithmSettings)
        self._own = settings
        self.samples_per_patient = settings.samples_per_patient
        self._paid: SampledGaussian | None = None
        self._expected = 0.0
        self._taken = 0
        self._not_finite = 0

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return AdamW over the trainable weights; the others are frozen.

        Raises:
            ConfigurationError: If the network has a layer that mixes patients, or no weight to train.
        """
        import torch

        from consilium.learning.trainable_weights import check_network, select_trainable

        check_network(network)
        trained = select_trainable(network, self._own.trainable, self._own.last_layers)
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
        return torch.optim.AdamW(
            trained, lr=self.learning.learning_rate, weight_decay=self.learning.weight_decay
        )

    def begin(self, local: LocalRound) -> None:
        """Read what is paid for, and draw new keys.

        Raises:
            TrainingError: If the round is not paid for, or only with fewer steps.
        """
        from consilium.learning.secure_random import SecureRandom, new_key

        paid = local.schedule.paid
        if not paid:
            raise TrainingError(
                "no step with differential privacy is taken that the site's ledger has not paid"
            )
        if local.steps > paid[0].steps:
            raise TrainingError(
                f"the round has {counted(local.steps, 'step')}, and {paid[0].steps} are paid for"
            )
        self._paid, self._taken, self._not_finite = paid[0], 0, 0
        # One process draws for all; the sum with the others' zeros is its key.
        key = new_key() if local.ranks.rank == 0 else bytes(32)
        self._sampling = SecureRandom(_share_key(key, local))
        self._noise = SecureRandom()

    def draw_patients(self, local: LocalRound, patients: int) -> Iterator[Sequence[int]]:
        """Draw every patient with the same probability in each step, and yield this process's share."""
        paid = self._require_paid()
        self._expected = paid.sampling_rate * patients
        for _ in range(local.steps):
            drawn = self._sampling.bernoulli(paid.sampling_rate, patients).nonzero()[:, 0].tolist()
            yield drawn[local.ranks.rank :: local.ranks.world_size]

    def compute_gradients(self, local: LocalRound, step: LocalStep) -> Tensor:
        """Compute the noisy mean of the drawn patients' clipped gradients; returns no loss, but 0."""
        import torch

        paid = self._require_paid()
        if self._taken >= paid.steps:
            raise TrainingError(f"{counted(paid.steps, 'step')} of this round are paid for, and taken")
        self._taken += 1
        trained = [parameter for parameter in local.network.parameters() if parameter.requires_grad]
        total = self._add_patients(trained, step)
        if local.ranks.rank == 0:
            total.add_noise(paid.noise_multiplier, self._noise)
        local.ranks.add_up(total.total)
        for parameter, gradient in zip(trained, total.mean(self._expected), strict=True):
            parameter.grad = gradient
        return torch.zeros(())

    def _add_patients(self, trained: Sequence[Tensor], step: LocalStep) -> PatientGradients:
        import torch

        from consilium.learning.patient_gradients import PatientGradients

        total = PatientGradients(trained, clip=self._own.clip)
        size = self._own.samples_per_patient
        for first in range(0, len(step.images), size):
            loss = step.loss(step.images[first : first + size], step.target[first : first + size])
            if not total.add(torch.autograd.grad(loss, trained, materialize_grads=True)):
                self._not_finite += 1
        return total

    def end(self, local: LocalRound) -> Outgoing:
        """Send nothing besides the difference; log what stays here."""
        if self._not_finite:
            _logger.warning(
                "%s of this round not finite and left out; a lower learning_rate is the usual remedy",
                counted(self._not_finite, "patient's gradient was", "patients' gradients were"),
            )
        self._paid = None
        return super().end(local)

    def _require_paid(self) -> SampledGaussian:
        if self._paid is None:
            raise TrainingError("a step with differential privacy belongs to a round that is paid for")
        return self._paid


def _share_key(key: bytes, local: LocalRound) -> bytes:
    """The key of the first process, in every process."""
    import torch

    words = local.ranks.add_up(torch.from_numpy(np.frombuffer(key, np.int64).copy()))
    shared: bytes = words.numpy().tobytes()
    return shared
