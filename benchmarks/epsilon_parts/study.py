"""The comparison in one folder: each run is made once, whatever interrupts it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, get_args

from consilium.data.files import write_atomically
from consilium.learning.evaluator import score_cases
from consilium.learning.model_file import load_model, save_model
from consilium.learning.network_state import initial_weights
from consilium.learning.schedule import Schedule
from consilium.learning.trainable_weights import select_trainable
from consilium.learning.trainer import Trainer
from consilium.learning.weights import Weights
from consilium.tasks import get_task
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from epsilon_parts.curve import draw
from epsilon_parts.federation import CPU, Trained, plain_learning, train_federation
from epsilon_parts.grid import RATES, Effort, Start, Trainable, Way
from epsilon_parts.hospitals import Hospitals, make_hospitals
from epsilon_parts.norms import describe, gradient_norms
from epsilon_parts.results import REGIONS, Run, append_run, noise_table, read_runs, table
from nnunet_parts.comparison import say
from nnunet_parts.results import require_same_settings

RUNS: Final = "runs.jsonl"


@dataclass(frozen=True)
class Study:
    """All runs of a folder.

    Attributes:
        out: Folder of everything.
        learning: The job's settings.
        effort: How much of everything.
        clip: The bound of a patient's gradient.
    """

    out: Path
    learning: SegmentationSettings
    effort: Effort
    clip: float

    def run(self, ways: Sequence[Way], seeds: Sequence[int]) -> str:
        """Make what is missing, all ways of a seed before the next seed; returns the tables.

        Args:
            ways: In the order in which they are made.
            seeds: Of first weights and samples.

        Raises:
            ConfigurationError: If the folder holds runs with other settings.
        """
        rates = [f"{one} {rate}" for one, rate in RATES.items()]
        stated = [self.learning.model_dump_json(), asdict(self.effort), self.clip, rates]
        require_same_settings(self.out, stated, "runs")
        done = {one.key for one in read_runs(self.out / RUNS)}
        missing = [(way, seed) for seed in seeds for way in ways if (way, seed) not in done]
        started = time.monotonic()
        for number, (way, seed) in enumerate(missing, start=1):
            run = self._make(way, seed)
            append_run(self.out / RUNS, run)
            left = (time.monotonic() - started) / number * (len(missing) - number)
            say(
                f"{number} of {len(missing)}: {way.name}, seed {seed}: Dice {run.dice:.3f} in "
                f"{run.seconds:.0f} s of CPU; about {left / 60:.0f} min left"
            )
        return self.write()

    def norms(self, seed: int) -> str:
        """Return the norms of gradients of the other hospital's patients, for the choice of `clip`.

        Args:
            seed: Of the starts.
        """
        ways = [Way("dp_sgd", start, trained) for start, trained in RATES]
        found = [
            gradient_norms(way, self._hospitals.other, self.learning, self._start(way.start, seed))
            for way in ways
        ]
        return "\n".join(
            f"{way.start}, {way.trainable}: {describe(one)}" for way, one in zip(ways, found, strict=True)
        )

    def write(self) -> str:
        """Write tables and figure of what is there; returns the tables."""
        runs = read_runs(self.out / RUNS)
        seeds = sorted({one.seed for one in runs})
        text = f"Seeds: {', '.join(map(str, seeds))}\n\n{table(runs)}\n{self._noise(runs)}"
        write_atomically(self.out / "result.md", text.encode())
        write_atomically(self.out / "dice-epsilon.svg", draw(runs).encode())
        return text

    def _noise(self, runs: Sequence[Run]) -> str:
        network = get_task(self.learning.task).method.build_network(self.learning)
        weights = {
            chosen: sum(one.numel() for one in select_trainable(network, chosen, last_layers=1))
            for chosen in get_args(Trainable)
        }
        return noise_table(runs, weights, self.learning.batch_size)

    @cached_property
    def _hospitals(self) -> Hospitals:
        found = make_hospitals(self.out, self.learning, self.effort)
        for name, data in found.sites.items():
            say(f"{name}: {len(data.train)} patients to train on, {len(data.test)} held out")
        return found

    def _make(self, way: Way, seed: int) -> Run:
        start = self._start(way.start, seed)
        before = time.process_time()
        trained = Trained(start, {}) if way.method == "untrained" else self._train(way, seed, start)
        scores = self._score(trained.weights)
        regions = {name: scores[f"dice_{name}"] for name in REGIONS}
        seconds = round(time.process_time() - before, 1)
        return Run(way, seed, scores["dice"], regions, trained.noise, seconds)

    def _train(self, way: Way, seed: int, start: Weights) -> Trained:
        learning: SegmentationSettings = self.learning.model_copy(update={"seed": seed})
        sites = self._hospitals.training
        return train_federation(way, sites, learning, start, rounds=self.effort.rounds, clip=self.clip)

    def _score(self, weights: Weights) -> dict[str, float]:
        task, held_out = get_task(self.learning.task), self._hospitals.held_out(self.effort.scored)
        rows = score_cases(task, self.learning, weights, held_out, CPU, final=False)
        summary = task.evaluation.summarize([one for one in rows if one is not None])
        return {name: round(float(value), 4) for name, value in summary.items()}

    def _start(self, start: Start, seed: int) -> Weights:
        drawn = initial_weights(get_task(self.learning.task), self.learning, seed)
        if start == "scratch":
            return drawn
        path = self.out / f"pretrained-{seed}.safetensors"
        if not path.exists():
            save_model(path, self._pretrain(drawn, seed), {})
        return load_model(path)[0]

    def _pretrain(self, drawn: Weights, seed: int) -> Weights:
        """Train on the other hospital's patients, without noise: they are nobody's of the federation."""
        say(f"pretraining on {len(self._hospitals.other)} patients of another hospital, seed {seed}")
        changes = {
            "seed": seed,
            "local_steps": self.effort.pretraining_steps,
            "learning_rate": RATES["scratch", "all"],
        }
        learning = plain_learning(self.learning).model_copy(update=changes)
        trainer = Trainer(get_task(learning.task), learning, self._hospitals.other, CPU, draw_seed=seed)
        return trainer.train(drawn, Schedule(0, 1)).weights
