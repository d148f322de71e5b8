"""The study in one folder: each component and seed is trained and scored once, whatever interrupts it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from candidates.components import BASELINE, COMPONENTS, Component, Hooks
from candidates.results import summarize, table
from consilium.data.cached_case import CachedCase
from consilium.data.files import private_folder, write_atomically
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, open_device
from consilium.learning.network_state import initial_weights
from consilium.learning.predictor import Predictor
from consilium.learning.round_state import RoundStateStore
from consilium.learning.trainer import Trainer
from consilium.learning.weights import MODEL, Weights
from consilium.tasks.base import Task
from consilium.tasks.segmentation.regions import join_regions, to_regions
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.segmentation.volume_case import VolumeCase
from nnunet_parts.comparison import say
from nnunet_parts.ours import STEPS_OF_A_ROUND, clock
from nnunet_parts.results import require_same_settings


@dataclass(frozen=True)
class Study:
    """What is trained, and on whom it is scored.

    Attributes:
        out: Folder of everything.
        learning: Settings of the job, with the batch of a step.
        steps: Of a training.
        train: Cases to train on.
        groups: Cases to score on, by the name of their group.
        compute: The machine's part.
    """

    out: Path
    learning: SegmentationSettings
    steps: int
    train: Sequence[CachedCase]
    groups: Mapping[str, Sequence[CachedCase]]
    compute: ComputeSettings

    def run(self, names: Sequence[str], seeds: Sequence[int]) -> str:
        """Train and score what is missing; returns the table.

        Args:
            names: Some of `COMPONENTS`; the baseline is always among them.
            seeds: Of first weights, samples and augmentation.

        Raises:
            ConfigurationError: If the folder holds a study with other settings.
        """
        self._claim()
        device = open_device(self.compute)
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for seed in seeds:
            for name in dict.fromkeys((BASELINE, *names)):
                found.setdefault(name, {})[seed] = self._outcome(name, seed, device)
            self._write(found)
        return (self.out / "result.md").read_text()

    def _write(self, found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> None:
        """Write the results so far."""
        patients = {group: [case.patient for case in cases] for group, cases in self.groups.items()}
        summary = summarize(found, patients, baseline=BASELINE)
        content = {"settings": self.learning.model_dump(mode="json"), "steps": self.steps}
        result = json.dumps({**content, "components": summary}, indent=1)
        write_atomically(self.out / "result.json", result.encode())
        titles = {name: one.title for name, one in COMPONENTS.items()}
        write_atomically(self.out / "result.md", table(summary, titles).encode())

    def _claim(self) -> None:
        """Make sure that what lies in the folder is of the same settings and cases."""
        cases = [case.id for case in (*self.train, *(one for of in self.groups.values() for one in of))]
        require_same_settings(self.out, [self.learning.model_dump_json(), self.steps, cases], "a study")

    def _outcome(self, name: str, seed: int, device: Device) -> dict[str, Any]:
        folder = private_folder(self.out / "trainings" / f"{name}-{seed}")
        done = folder / "outcome.json"
        if not done.exists():
            component = COMPONENTS[name]
            learning = self.learning.model_copy(update={"seed": seed, **component.settings})
            task = component.task(learning.task)
            weights, seconds = self._train(component, task, learning, device, folder)
            scores = {
                group: _score(task, learning, weights, device, cases) for group, cases in self.groups.items()
            }
            write_atomically(done, json.dumps({"train_seconds": seconds, "scores": scores}).encode())
            means = {
                group: sum(_mean_dice(one) for one in of) / len(of) for group, of in scores.items() if of
            }
            text = ", ".join(f"{group} {mean:.3f}" for group, mean in means.items())
            say(f"{name}, seed {seed}: {text}; {seconds:.0f} s")
        outcome: dict[str, Any] = json.loads(done.read_text())
        return outcome

    def _train(
        self,
        component: Component,
        task: Task,
        learning: SegmentationSettings,
        device: Device,
        folder: Path,
    ) -> tuple[Weights, float]:
        """Train, resuming after the last round that is kept; returns the weights to score, and seconds."""
        rounds = max(1, round(self.steps * component.steps) // STEPS_OF_A_ROUND)
        learning = learning.model_copy(update={"local_steps": STEPS_OF_A_ROUND, "local_epochs": None})
        hooks: Hooks = component.hooks(AlgorithmSettings(name="local"), learning)
        memory = RoundStateStore(private_folder(folder / "state"))
        trainer = Trainer(task, learning, self.train, device, memory=memory, algorithm=hooks)
        spent = folder / "seconds.json"
        seconds: dict[str, float] = json.loads(spent.read_text()) if spent.exists() else {}
        weights, first = initial_weights(task, learning, learning.seed), 0
        if (kept := memory.recall(rounds - 1)) is not None:  # the last round is repeated for the hooks
            weights, first = dict(kept.arrays[MODEL]), kept.number
        for index in range(first, rounds):
            start = clock(self.compute)
            weights = dict(trainer.train(weights, component.schedule(index, rounds)).weights)
            seconds[str(index)] = clock(self.compute) - start
            write_atomically(spent, json.dumps(seconds).encode())
        return hooks.final_weights(weights), sum(seconds.values())


def _score(
    task: Task,
    learning: SegmentationSettings,
    weights: Weights,
    device: Device,
    cases: Sequence[CachedCase],
) -> list[dict[str, float]]:
    """Return Dice of each region in label maps as `predict` would write them; two empty regions agree."""
    infer = partial(task.prediction.infer, settings=learning, mirror=False)
    predictor = Predictor(task, learning, weights, device, inference=infer)
    scores = []
    for case in cases:
        found = to_regions(join_regions(predictor.predict(case), task.targets), task.targets)
        reference = VolumeCase.of(case).reference
        assert reference is not None  # labeled
        true = to_regions(torch.from_numpy(reference.copy()), task.targets)
        both, sizes = ((found & true).sum(dim=(1, 2, 3)), (found.long() + true.long()).sum(dim=(1, 2, 3)))
        dice = torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), 1.0).tolist()
        scores.append({f"dice_{region.name}": one for region, one in zip(task.targets, dice, strict=True)})
    return scores


def _mean_dice(scores: Mapping[str, float]) -> float:
    dice = [value for name, value in scores.items() if name.startswith("dice_")]
    return sum(dice) / len(dice)
