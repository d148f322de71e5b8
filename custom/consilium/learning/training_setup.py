"""Setup of a site's training: what one process, or several together, train with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from consilium.data.cache import CachedCase
from consilium.learning.algorithms import local_algorithm
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device
from consilium.learning.ranks import Ranks
from consilium.learning.round_state import RoundStateStore
from consilium.learning.trainer import Trainer
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class TrainingSetup:
    """What a site trains with, in however many processes.

    Args:
        learning: What the job decides.
        compute: What the site decides.
        cases: Labeled training cases; none at a site that only evaluates.
        min_patients: See `Trainer`.
        min_loss_patients: See `Trainer`.
        draw_seed: See `Trainer`.
        memory: Folder for the state that a round starts from, kept across restarts; None for none.
        algorithm: What the job decides about it; None for plain local training.
        missing_targets: See `Trainer`.
    """

    learning: LearningSettings
    compute: ComputeSettings
    cases: Sequence[CachedCase]
    min_patients: int = 1
    min_loss_patients: int = 1
    draw_seed: int | None = None
    memory: Path | None = None
    algorithm: AlgorithmSettings | None = None
    missing_targets: Collection[str] = ()

    def build_trainer(self, device: Device, ranks: Ranks = Ranks()) -> Trainer:  # noqa: B008 - frozen
        """Build the trainer of one process.

        Args:
            device: On what it trains.
            ranks: The processes that share every batch.

        Raises:
            TrainingError: There is no case.
            SiteRefusal: If the device's memory is full.
        """
        with device.refuse_full_memory("loading the network"):  # processes that connect take some, too
            return Trainer(
                get_task(self.learning.task),
                self.learning,
                self.cases,
                device,
                loader_workers=self.compute.loader_workers,
                ranks=ranks,
                min_patients=self.min_patients,
                min_loss_patients=self.min_loss_patients,
                draw_seed=self.draw_seed,
                memory=RoundStateStore(self.memory) if self.memory else None,
                algorithm=local_algorithm(self.algorithm, self.learning) if self.algorithm else None,
                missing_targets=self.missing_targets,
            )
