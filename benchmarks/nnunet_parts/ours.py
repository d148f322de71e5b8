"""Pooled patients of all hospitals, and Consilium's trainer on them."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from consilium.data.cached_case import CachedCase
from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import device_name, open_device
from consilium.learning.network_state import initial_weights
from consilium.learning.predictor import Predictor
from consilium.learning.processes.single_process import SingleProcess
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.training_setup import TrainingSetup
from consilium.learning.weights import MODEL
from consilium.participant.site_data import SiteData, prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.participant.task_data import list_installed
from consilium.tasks import get_task
from consilium.tasks.metrics import Scores
from consilium.tasks.segmentation.regions import join_regions, to_regions
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings

STEPS_OF_A_ROUND: Final = 16
"""After so many, the state is kept; the rate falls over all of them, whatever the rounds."""

FEWEST_HELD_OUT: Final = 3
"""Means of fewer patients would be about single ones."""

_HELD_OUT_SHARE: Final = 0.25
_SPLIT_SALT: Final = "0"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Patients:
    """Prepared cases of all hospitals together.

    Attributes:
        train: To train on.
        held_out: To evaluate on.
        training_sites: How many hospitals the first are of.
    """

    train: tuple[CachedCase, ...]
    held_out: tuple[CachedCase, ...]
    training_sites: int


def pool_patients(
    sites: Mapping[str, Path],
    folder: Path,
    learning: SegmentationSettings,
    *,
    evaluators: Collection[str] = (),
    conventions: Mapping[str, str] | None = None,
    say: Say = lambda text: None,
) -> Patients:
    """Check, prepare and split the hospitals' cases, and hold a quarter of the patients out.

    Args:
        sites: Hospital to the folder of its cases.
        folder: Where prepared cases go.
        learning: How they are prepared.
        evaluators: Hospitals of which all patients are held out.
        conventions: What label values mean, where it can't be found.
        say: Shows a line of progress.

    Raises:
        ConfigurationError: If nobody is left to train on, or fewer than `FEWEST_HELD_OUT` to evaluate on.
        SiteRefusal: If a hospital's folder can't be used.
    """
    train: list[CachedCase] = []
    held_out: list[CachedCase] = []
    training_sites = 0
    for name, dataset in sites.items():
        convention = (conventions or {}).get(name)
        data = prepare_hospital(
            name, dataset, folder, learning, evaluates=name in evaluators, convention=convention
        )
        say(f"{name}: {len(data.train)} cases to train on, {len(data.test)} held out")
        train += data.train
        held_out += data.test
        training_sites += bool(data.train)
    if not train or len({case.patient for case in held_out}) < FEWEST_HELD_OUT:
        raise ConfigurationError(
            f"{len(train)} cases to train on and {len(held_out)} held out: give more patients; results are "
            f"means over at least {FEWEST_HELD_OUT} held-out patients"
        )
    return Patients(tuple(train), tuple(held_out), training_sites)


def prepare_hospital(
    name: str,
    dataset: Path,
    folder: Path,
    learning: SegmentationSettings,
    *,
    evaluates: bool = False,
    held_out: float = _HELD_OUT_SHARE,
    convention: str | None = None,
) -> SiteData:
    """Check, prepare and split a hospital's cases; all of them are held out where it only evaluates.

    Args:
        name: Of the hospital.
        dataset: Folder of its cases.
        folder: Where prepared cases go.
        learning: How they are prepared.
        evaluates: Whether it only evaluates.
        held_out: Share of the patients that are held out of training.
        convention: What label values mean, where it can't be found.

    Raises:
        SiteRefusal: If the hospital's folder can't be used.
    """
    settings = SiteSettings(
        dataset=dataset.absolute(),
        cache_dir=folder.absolute() / "cache" / name,
        state_dir=folder.absolute() / "state" / name,
        role="evaluates" if evaluates else "trains",
        label_convention=convention,
        validation_fraction=0,  # no model is chosen
        test_fraction=held_out,
        split_salt=_SPLIT_SALT,
        tasks=list_installed(),
        min_count=1,  # nothing leaves this machine
        min_training_patients=1,
    )
    return prepare_site(settings, learning, name=name)


def train_ours(
    patients: Patients,
    learning: SegmentationSettings,
    steps: int,
    folder: Path,
    compute: ComputeSettings,
    say: Say,
) -> dict[str, Any]:
    """Train with Consilium's trainer; an interrupted training resumes after its last round.

    Args:
        patients: Those to train on.
        learning: How; its batch is that of a step.
        steps: All steps, a multiple of `STEPS_OF_A_ROUND`.
        folder: For the state of the training.
        compute: The machine's part.
        say: Shows a line of progress.

    Returns:
        Steps, samples, parameters and seconds.
    """
    rounds = steps // STEPS_OF_A_ROUND
    learning = learning.model_copy(update={"local_steps": STEPS_OF_A_ROUND, "local_epochs": None})
    spent = folder / "seconds.json"
    seconds: dict[str, float] = json.loads(spent.read_text()) if spent.exists() else {}
    learner = SingleProcess(
        TrainingSetup(learning, compute, patients.train, memory=private_folder(folder / "state"))
    )
    weights, first = initial_weights(get_task(learning.task), learning, learning.seed), 0
    if (kept := RoundStateStore(folder / "state").recall(rounds)) is not None:
        weights, first = dict(kept.arrays[MODEL]), kept.number
    for index in range(first, rounds):
        start = clock(compute)
        result = learner.train(weights, Schedule(index, rounds))
        weights = dict(result.weights)
        seconds[str(index)] = clock(compute) - start
        write_atomically(spent, json.dumps(seconds).encode())
        done = (index + 1) * STEPS_OF_A_ROUND
        say(f"step {done} of {steps}, loss {result.loss:.3f}, {sum(seconds.values()):.0f} s")
    learner.close()
    return {
        "steps": steps,
        "samples": steps * learning.batch_size,
        "train_seconds": sum(seconds.values()),
        "parameters": count_weights(learning),
    }


def score_ours(
    patients: Patients,
    learning: SegmentationSettings,
    steps: int,
    folder: Path,
    compute: ComputeSettings,
    *,
    mirror: bool,
) -> tuple[list[Scores], float]:
    """Score the trained model on the held-out cases by the label maps that `predict` would write.

    Args:
        patients: Those held out.
        learning: How the model was trained.
        steps: Of the training.
        folder: Of its state.
        compute: The machine's part.
        mirror: Whether to average over mirrored inputs.

    Returns:
        The scores of each case, and the seconds of all predictions.
    """
    task = get_task(learning.task)
    kept = RoundStateStore(folder / "state").recall(steps // STEPS_OF_A_ROUND)
    assert kept is not None  # after `train_ours`
    infer = partial(task.prediction.infer, settings=learning, mirror=mirror)
    predictor = Predictor(task, learning, kept.arrays[MODEL], open_device(compute), inference=infer)
    scores, seconds = [], 0.0
    for case in patients.held_out:
        start = clock(compute)
        found = to_regions(join_regions(predictor.predict(case), task.targets), task.targets)
        seconds += clock(compute) - start
        scores.append(task.evaluation.score(found, case, final=True))
    return scores, seconds


def count_weights(learning: SegmentationSettings) -> int:
    """Return the number of parameters of a job's network."""
    network = get_task(learning.task).method.build_network(learning)
    return sum(parameter.numel() for parameter in network.parameters())


def clock(compute: ComputeSettings) -> float:
    """Return seconds of this process's CPU with its ended children; on a GPU, of wall time."""
    if device_name(compute) != "cpu":
        torch.cuda.synchronize()
        return time.perf_counter()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
