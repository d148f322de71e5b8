"""The comparison itself: prepare, train, score, in one folder and step by step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.tasks import get_task
from consilium.tasks.segmentation.networks import NETWORKS, MonaiNetwork
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from nnunet_parts.environment import NNUNET_VERSION, Environment
from nnunet_parts.ours import Patients, count_weights, pool_patients, score_ours, train_ours
from nnunet_parts.plans import CONFIGURATION, cut_plan, widest_base
from nnunet_parts.raw_data import DATASET, DATASET_NUMBER, RawDataset, cases_and_outputs, read_prediction
from nnunet_parts.results import Outcome, require_same_settings, summarize, table

WAYS: Final = {
    "ours": "ours",
    "recipe": "nnU-Net's recipe, our network",
    "cut": "nnU-Net, plan cut to our size",
    "plan": "nnU-Net, own plan, our training time",
}
BASELINE: Final = "ours"
OWN_PLAN, CUT_PLAN = "nnUNetPlans", "cut"


@dataclass(frozen=True)
class Question:
    """What is compared, on whom and how.

    Attributes:
        learning: The job's settings.
        sites: Hospital to the folder of its cases.
        evaluators: Hospitals of which all patients are held out.
        conventions: What label values mean, where it can't be found.
        steps: Of each way but `plan`.
        mirror: Whether every way averages its predictions over mirrored inputs.
        compute: The machine's part.
    """

    learning: SegmentationSettings
    sites: Mapping[str, Path]
    evaluators: Collection[str]
    conventions: Mapping[str, str]
    steps: int
    mirror: bool
    compute: ComputeSettings


class Comparison:
    """The comparison in one folder.

    Args:
        out: The folder.
        question: What is compared.
        environment: Where nnU-Net is, or will be.

    Raises:
        ConfigurationError: If the folder holds a comparison with other settings.
    """

    def __init__(self, out: Path, question: Question, environment: Path) -> None:
        self._out = out
        self._asked = question
        self._learning = question.learning
        self._task = get_task(self._learning.task)
        self._environment = Environment(environment, out, question.compute, say)
        self._raw = RawDataset(out / "raw" / DATASET, self._task.inputs, self._task.targets)
        self._claim()

    def run(self, ways: Sequence[str], seeds: Sequence[int]) -> str:
        """Prepare, train and score what is missing, and write the results; returns the table.

        Args:
            ways: Some of `WAYS`; the baseline is always among them.
            seeds: Of first weights, samples and augmentation.
        """
        asked = self._asked
        patients = pool_patients(
            asked.sites,
            self._out,
            self._learning,
            evaluators=asked.evaluators,
            conventions=asked.conventions,
            say=say,
        )
        batch = self._learning.batch_size * patients.training_sites
        self._learning = self._learning.model_copy(update={"batch_size": batch})
        others = [way for way in ways if way != BASELINE]
        if others:
            self._environment.install()
            self._prepare(patients)
        outcomes: dict[str, dict[int, Outcome]] = {}
        for seed in seeds:
            for way in (BASELINE, *others):
                outcomes.setdefault(way, {})[seed] = self._outcome(way, seed, patients)
                self._write(outcomes, patients)
        return (self._out / "result.md").read_text()

    def _claim(self) -> None:
        """Make sure that what lies in the folder is of the same settings."""
        asked = self._asked
        sites = sorted((name, str(path.resolve())) for name, path in asked.sites.items())
        stated: list[object] = [
            asked.learning.model_dump_json(),
            asked.steps,
            asked.compute.model_dump_json(),
            sites,
        ]
        stated += [sorted(asked.evaluators), sorted(asked.conventions.items())]
        require_same_settings(self._out, stated, "a comparison")

    def _prepare(self, patients: Patients) -> None:
        """Write the cases for nnU-Net, and have it plan and prepare them."""
        ready, seconds = self._out / "prepared.json", {}
        if ready.exists():
            return
        for folder in ("raw", "preprocessed", "results"):
            private_folder(self._out / folder)
        say(f"writing {len(patients.train) + len(patients.held_out)} cases for nnU-Net")
        self._raw.write(patients.train, patients.held_out)
        say("nnU-Net plans and prepares its data")
        number, limits = str(DATASET_NUMBER), ["-c", CONFIGURATION, "-np", "1"]
        seconds["own plan"] = self._environment.command(
            "nnUNetv2_plan_and_preprocess",
            *("-d", number, "-npfp", "1", "--verify_dataset_integrity", "--no_pbar", *limits),
        )
        plan = json.loads(self._plan(OWN_PLAN).read_text())
        cut = cut_plan(
            plan,
            CUT_PLAN,
            patch_voxels=self._learning.patch_voxels,
            spacing_mm=self._learning.spacing_mm,
            batch_size=self._learning.batch_size,
            base_features=widest_base(
                count_weights(self._learning), len(self._task.inputs), len(self._task.targets)
            ),
        )
        write_atomically(self._plan(CUT_PLAN), json.dumps(cut, indent=1).encode())
        seconds["cut plan"] = self._environment.command(
            "nnUNetv2_preprocess", "-d", number, "-plans_name", CUT_PLAN, "--no_pbar", *limits
        )
        write_atomically(ready, json.dumps(seconds).encode())

    def _plan(self, name: str) -> Path:
        return self._out / "preprocessed" / DATASET / f"{name}.json"

    def _outcome(self, way: str, seed: int, patients: Patients) -> Outcome:
        """Train and score, as far as it isn't done already."""
        folder = private_folder(self._out / "trainings" / f"{way}-{seed}")
        kind = "mirrored" if self._asked.mirror else "plain"
        if (done := Outcome.load_file(folder / f"{kind}.json")) is not None:
            return done
        title = f"{way}, seed {seed}"
        if way == BASELINE:
            trained, scores, seconds = self._ours(seed, folder, patients, title)
        else:
            trained, scores, seconds = self._nnunet(way, seed, folder, patients, title)
        outcome = Outcome(
            **trained,
            predict_seconds=seconds,
            scores=[dict(one) for one in scores],
        )
        outcome.save(folder / f"{kind}.json")
        mean = self._task.evaluation.summarize(outcome.scores)["dice"]
        say(f"{title}: Dice {mean:.3f} after {outcome.steps} steps in {outcome.train_seconds:.0f} s")
        return outcome

    def _ours(
        self, seed: int, folder: Path, patients: Patients, title: str
    ) -> tuple[dict[str, Any], Sequence[Any], float]:
        learning, steps = self._learning.model_copy(update={"seed": seed}), self._asked.steps
        trained = _once(
            folder / "trained.json",
            lambda: train_ours(
                patients, learning, steps, folder, self._asked.compute, lambda text: say(f"{title}: {text}")
            ),
        )
        mirror = self._asked.mirror
        scores, seconds = score_ours(patients, learning, steps, folder, self._asked.compute, mirror=mirror)
        return trained, scores, seconds

    def _nnunet(
        self, way: str, seed: int, folder: Path, patients: Patients, title: str
    ) -> tuple[dict[str, Any], Sequence[Any], float]:
        order: dict[str, Any] = {
            "folder": str(folder.absolute()),
            "plans": str(self._plan(OWN_PLAN if way == "plan" else CUT_PLAN).absolute()),
            "dataset": str(self._raw.description.absolute()),
            "network": self._definition() if way == "recipe" else None,
            "device": self._asked.compute.device,
            "threads": self._asked.compute.cpu_threads,
            "seed": seed,
            "mirror": self._asked.mirror,
            "steps": self._asked.steps,
            "seconds": self._seconds_of_ours(seed) if way == "plan" else None,
        }

        def train() -> dict[str, Any]:
            self._environment.work("train", order, title)
            found: dict[str, Any] = json.loads((folder / "worker.json").read_text())
            return found

        trained = _once(folder / "trained.json", train)
        predictions = private_folder(folder / ("mirrored" if self._asked.mirror else "plain"))
        cases = cases_and_outputs(
            self._raw, predictions.absolute(), len(patients.train), len(patients.held_out)
        )
        self._environment.work("predict", {**order, "cases": cases}, title)
        scores = [
            self._task.evaluation.score(
                read_prediction(Path(out), case, self._task.targets), case, final=True
            )
            for (_, out), case in zip(cases, patients.held_out, strict=True)
        ]
        return trained, scores, sum(float(Path(f"{out}.seconds").read_text()) for _, out in cases)

    def _definition(self) -> dict[str, Any]:
        """Return the job's network in words that the worker understands."""
        network = NETWORKS[self._learning.network]
        if not isinstance(network, MonaiNetwork):
            raise ConfigurationError(
                f"network {self._learning.network!r} is none of MONAI's, which nnU-Net's trainer can take; "
                "leave `recipe` out of --ways"
            )
        return network.definition(len(self._task.inputs), len(self._task.targets))

    def _seconds_of_ours(self, seed: int) -> float:
        trained = json.loads((self._out / "trainings" / f"{BASELINE}-{seed}" / "trained.json").read_text())
        return float(trained["train_seconds"])

    def _write(self, outcomes: dict[str, dict[int, Outcome]], patients: Patients) -> None:
        ids = [case.patient for case in patients.held_out]
        summary = summarize(outcomes, self._task.evaluation, ids, baseline=BASELINE)
        prepared = self._out / "prepared.json"
        result = {
            "settings": self._learning.model_dump(mode="json"),
            "device": self._asked.compute.device,
            "threads": self._asked.compute.cpu_threads,
            "mirrored": self._asked.mirror,
            "nnunetv2": NNUNET_VERSION,
            "cases": {"train": len(patients.train), "held_out": len(patients.held_out)},
            "nnunet_preparation_seconds": json.loads(prepared.read_text()) if prepared.exists() else None,
            "ways": summary,
        }
        write_atomically(self._out / "result.json", json.dumps(result, indent=1).encode())
        regions = [region.name for region in self._task.targets]
        write_atomically(self._out / "result.md", table(summary, WAYS, regions).encode())


def say(text: str) -> None:
    """Print a line of progress with the time of day."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def _once(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was made and kept in a file before, or make it now, with the machine's load at its end."""
    if not path.exists():
        made = make()
        write_atomically(path, json.dumps({**made, "load": os.getloadavg()[1]}).encode())
    found: dict[str, Any] = json.loads(path.read_text())
    return found
