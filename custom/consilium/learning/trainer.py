"""Trainer of one site's local training, round by round."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from consilium.counts import counted
from consilium.data.cache import CachedCase
from consilium.errors import Cancelled, RefusalCode, SiteRefusal, TrainingError
from consilium.learning.algorithms.base import (
    AlgorithmSettings,
    Batch,
    LocalAlgorithm,
    LocalRound,
    LocalStep,
)
from consilium.learning.device import Device
from consilium.learning.dropout import share_dropout
from consilium.learning.estimate import gpu_bytes
from consilium.learning.network_state import get_moments, get_weights, set_moments, set_weights
from consilium.learning.patient_samples import PatientSamples, augmentation_seed, patient_loader
from consilium.learning.ranks import Ranks
from consilium.learning.round_state import RoundStateStore, pack_algorithm, unpack_algorithm
from consilium.learning.rounds import OnStep, RoundLoss, RoundTime, TrainingResult
from consilium.learning.samples import NONE_READABLE, sample_loader
from consilium.learning.schedule import Schedule
from consilium.learning.weights import MODEL, Weights, WeightSets
from consilium.tasks import Task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.method import BatchShare
from consilium.tasks.partial_labels import build_loss

_MOMENTS, _SCALER, _ALGORITHM = "moments", "scaler", "algorithm"


class Trainer:
    """Trains one network on one site's cases, round after round.

    The optimizer's moments stay at the site from round to round, unless the algorithm keeps none. A round
    always starts from those after the round before it, so that one that is trained again gives the same
    update, unless time ends it. The learning rate follows the federation's progress, so a site that joins
    late or returns is in step at once. A case that can no longer be read is left out from then on.

    Args:
        task, settings: What is learned, and how.
        cases: Labeled training cases; at least one.
        device: On what.
        loader_workers: Processes that load samples.
        ranks: The processes that share every batch, train at the same time, and end with the same weights.
        min_patients: Fewest patients of a round of which anything is returned.
        min_loss_patients: Fewest patients behind a loss; that of fewer is withheld.
        draw_seed: What all random numbers are drawn by; None for the job's seed.
        memory: Where moments, own model and state of the algorithm are kept; None for in this process.
        algorithm: The hooks around training; None for plain local training.
        missing_targets: Targets that the labels lack.
    """

    def __init__(
        self,
        task: Task,
        settings: LearningSettings,
        cases: Sequence[CachedCase],
        device: Device,
        *,
        loader_workers: int = 0,
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
        min_patients: int = 1,
        min_loss_patients: int = 1,
        draw_seed: int | None = None,
        memory: RoundStateStore | None = None,
        algorithm: LocalAlgorithm | None = None,
        missing_targets: Collection[str] = (),
    ) -> None:
        if not cases:
            raise TrainingError("there is no labeled case to train on")
        self._method = task.method
        self._settings = settings
        self._cases = tuple(cases)
        self._algorithm = algorithm or LocalAlgorithm(AlgorithmSettings(name="local"), settings)
        by_patient = self._algorithm.samples_per_patient
        # Without a scaler, gradients of single patients are what they are: float16 gives way to float32.
        self._device = device.without_scaling() if by_patient else device
        self._loader_workers = loader_workers
        self._ranks = ranks
        self._share = BatchShare(by_patient) if by_patient else ranks.share(settings.batch_size)
        self._random = torch.Generator()
        network = self._method.build_network(settings)
        share_dropout(network, self._share, self._random)
        self._network = self._device.place(network)
        self._connected = self._network if by_patient else ranks.connect(self._network)
        self._loss = build_loss(self._method, settings, missing_targets)
        self._optimizer = self._algorithm.build_optimizer(self._network) or torch.optim.AdamW(
            self._network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._scaler = self._device.new_scaler()
        self._min_patients = min_patients
        self._min_loss_patients = max(min_patients, min_loss_patients)
        self._draw_seed = settings.seed if draw_seed is None else draw_seed
        self._memory = memory or RoundStateStore()
        self._moments_after: int | None = None  # rounds; None while they are those of a part of one
        self._lost = torch.zeros(len(self._cases), dtype=torch.uint8)
        self._lost.share_memory_()  # type: ignore[no-untyped-call]

    def train(
        self,
        weights: Weights,
        schedule: Schedule,
        *,
        sets: WeightSets | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_step: OnStep = lambda step, steps, loss: None,
    ) -> TrainingResult:
        """Train one round from the given weights.

        Args:
            weights: Where to start.
            schedule: Which round this is.
            sets: The algorithm's weight sets, received with the weights.
            cancelled: Asked before every step.
            on_step: See `OnStep`.

        Raises:
            Cancelled: Within one step after `cancelled` turned true, in this process or another of `ranks`.
            SiteRefusal: If the round showed fewer than `min_patients`, unless the algorithm draws patients,
                or if the device's memory is full.
            TrainingError: If the loss becomes non-finite, the weights do not fit, or this process or another
                of `ranks` no longer has a readable case.
        """
        own_batch = self._settings.model_copy(update={"batch_size": self._share.size})
        with self._device.refuse_full_memory("training", needed=lambda: gpu_bytes(own_batch)):
            return self._train(weights, schedule, sets or {}, cancelled, on_step)

    def _train(
        self,
        weights: Weights,
        schedule: Schedule,
        sets: WeightSets,
        cancelled: Callable[[], bool],
        on_step: OnStep,
    ) -> TrainingResult:
        set_weights(self._network, weights)
        self._network.train()
        self._lost.copy_(self._ranks.union(self._lost))
        steps = self._settings.steps_per_round(len(self._cases) - int(self._lost.sum()))
        self._recall(schedule.round_index)
        local = LocalRound(schedule, weights, sets, self._network, self._optimizer, steps, self._ranks)
        self._algorithm.begin(local)
        withheld = self._algorithm.withholds_losses
        mean_loss = RoundLoss(self._min_loss_patients)
        clock = RoundTime(self._settings.round_minutes, self._min_patients)
        batches = self._algorithm.batches(local, self._batches(local))
        for step in range(steps):
            batch = self._next_batch(batches, cancelled, f"step {step} of {steps}")
            for group in self._optimizer.param_groups:
                group["lr"] = schedule.rate(self._settings, step, steps)
            loss = self._step(local, batch, step)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} at step {step + 1} of {steps} in round "
                    f"{schedule.round_index + 1}; a lower learning_rate is the usual remedy"
                )
            if not withheld:
                mean_loss.add(loss, self._patients(batch[2]))
            on_step(step + 1, steps, mean_loss.mean)
            if clock.is_limited and self._ranks.any(clock.is_over(mean_loss.patients)):
                break  # in every process
        if mean_loss.patients < self._min_patients and not withheld:
            raise SiteRefusal(
                f"the round showed the network fewer than {counted(self._min_patients, 'patient')}, of which "
                "this site sends no update (min_training_patients)",
                code=RefusalCode.FEW_PATIENTS_A_ROUND,
            )
        trained, outgoing = get_weights(self._network), self._algorithm.end(local)
        self._remember(schedule.round_index + 1, trained)
        stays = self._algorithm.settings.stays
        own = {name: value for name, value in trained.items() if stays(name)}
        unreadable = tuple(case.id for case, lost in zip(self._cases, self._lost, strict=True) if lost)
        return TrainingResult(
            trained,
            mean_loss.mean,
            step + 1,
            clock.seconds,
            unreadable,
            sent=outgoing.sets,
            numbers=outgoing.numbers,
            personal={**own, **outgoing.personal},
        )

    def _next_batch(self, batches: Iterator[Batch], cancelled: Callable[[], bool], place: str) -> Batch:
        """Return this process's share of the next batch, if every process takes the next step.

        A process that stopped alone would leave the others waiting for its gradient.
        """
        try:
            batch = next(batches)
        except TrainingError:  # where a loader's worker raised it, its message is a traceback
            batch = None
        stopped, failed = self._ranks.union(torch.tensor([cancelled(), batch is None], dtype=torch.uint8))
        if stopped:
            raise Cancelled(f"training stopped at {place}")
        if batch is None or failed:
            raise TrainingError(NONE_READABLE)
        return batch

    def _patients(self, places: Tensor) -> set[str]:
        """Return the patients of a batch, from the places of its cases; those of other ranks included."""
        shown = torch.zeros(len(self._cases), dtype=torch.uint8)
        shown[places] = 1
        return {self._cases[place].patient for place in self._ranks.union(shown).nonzero()[:, 0].tolist()}

    def _recall(self, rounds_done: int) -> None:
        # The scaler's state is empty where it was kept by a device that needs none.
        known, self._moments_after = self._moments_after, None
        if known != rounds_done:
            kept = self._memory.recall(rounds_done)
            if not self._ranks.agree(kept.number if kept else 0):
                kept = None  # a disk that failed one process: with other moments, their weights would part
            moments = kept.arrays.get(_MOMENTS, {}) if kept and self._algorithm.keeps_moments else {}
            set_moments(self._optimizer, moments)
            self._scaler = self._device.new_scaler()  # after a step that failed, the last one can't unscale
            if kept and kept.state[_SCALER]:
                self._scaler.load_state_dict(kept.state[_SCALER])
            self._algorithm.restore(unpack_algorithm(kept.arrays, kept.state[_ALGORITHM]) if kept else None)

    def _remember(self, rounds_done: int, trained: Weights) -> None:
        self._moments_after = rounds_done if self._algorithm.keeps_moments else None
        if not self._memory.in_process and self._ranks.rank:
            return
        state = self._algorithm.state()
        arrays = pack_algorithm(state)
        arrays[_MOMENTS] = get_moments(self._optimizer) if self._algorithm.keeps_moments else {}
        if not self._memory.in_process:
            arrays[MODEL] = trained
        values = {_SCALER: self._scaler.state_dict(), _ALGORITHM: dict(state.values)}
        self._memory.keep(rounds_done, arrays, values)

    def _batches(self, local: LocalRound) -> Iterator[Batch]:
        seed = self._round_seed = self._draw_seed * 1_000_003 + local.schedule.round_index
        torch.manual_seed(seed % 2**31)
        self._random.manual_seed(seed % 2**31)
        pinned, workers = self._device.torch_device.type == "cuda", self._loader_workers
        sampler, by_patient = self._method.sampler(self._settings), self._algorithm.samples_per_patient
        if by_patient:
            samples = PatientSamples(self._cases, sampler, by_patient, seed, self._lost)
            draws = self._algorithm.draw_patients(local, len(samples))
            return iter(patient_loader(samples, draws, self._lost, workers=workers, pin_memory=pinned))
        share, lost = self._share, self._lost
        return iter(
            sample_loader(
                self._cases, sampler, seed=seed, share=share, lost=lost, workers=workers, pin_memory=pinned
            )
        )

    def _step(self, local: LocalRound, batch: Batch, number: int) -> float:
        inputs, targets = self._to_device(batch, number)
        self._optimizer.zero_grad(set_to_none=True)
        step = LocalStep(inputs, targets, batch[2], self._mean_loss, self._backward, self._scaler)
        loss = self._algorithm.compute_gradients(local, step)
        self._scaler.unscale_(self._optimizer)
        self._algorithm.after_backward(local)
        limit = self._algorithm.max_gradient_norm
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), math.inf if limit is None else limit)
        if not self._scaler.is_enabled() and not torch.isfinite(norm):
            return math.nan  # with a scaled loss, an overflow is the scaler's business: it skips the step
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._algorithm.after_step(local)
        # The parts of all processes add up to the batch's mean.
        return self._ranks.sum(loss.detach() * self._share.weight)

    def _to_device(self, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs, augmented, and encoded targets; see `LocalAlgorithm.draw_patients`."""
        at_once, parts = self._algorithm.samples_per_patient or len(batch[2]), []
        for first in range(0, len(batch[2]), at_once):
            inputs, targets = (one[first : first + at_once] for one in batch[:2])
            if self._algorithm.samples_per_patient:
                self._random.manual_seed(augmentation_seed(self._round_seed, step, int(batch[2][first])))
            encoded = self._method.encode_targets(targets.to(self._device.torch_device))
            moved = self._device.move(inputs).float()
            inputs = self._method.augment(moved, self._share, self._random, self._settings)
            parts.append((inputs, encoded))
        if len(parts) < 2:
            return parts[0] if parts else batch[:2]
        return torch.cat([one for one, _ in parts]), torch.cat([one for _, one in parts])

    def _mean_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with self._device.autocast():
            logits = self._connected(inputs)
        # Sums over all of an image overflow in half precision, so the loss is computed in full.
        loss: Tensor = self._loss(logits.float(), targets)
        return loss

    def _backward(self, loss: Tensor) -> None:
        # The processes' gradients are averaged, not added up.
        part = loss * self._share.weight * self._ranks.world_size
        self._scaler.scale(part).backward()  # type: ignore[no-untyped-call]
