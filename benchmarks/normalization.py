"""Dice with the normalization as it is and with plain z-scores, on clean cases and on cases with hot voxels.

A pooled model is trained on a small synthetic cohort of the demo's four scanners, with the same patients,
patches and steps for each way to normalize, and scored on patients that it hasn't seen. In the hot cohort one
image of every second case is damaged by a few voxels, in the ways of `hot_damages`. Run it from the
repository's root:

    python benchmarks/normalization.py --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.unit.tasks.brain_tumor.checks.damage import hot_damages  # noqa: E402

from consilium.data.cache import CachedCase, CaseCache  # noqa: E402
from consilium.data.cohort import read_cohort  # noqa: E402
from consilium.learning.compute_settings import ComputeSettings  # noqa: E402
from consilium.learning.network_state import initial_weights  # noqa: E402
from consilium.learning.processes.single_process import SingleProcess  # noqa: E402
from consilium.learning.schedule import Schedule  # noqa: E402
from consilium.learning.training_setup import TrainingSetup  # noqa: E402
from consilium.tasks import get_task  # noqa: E402
from consilium.tasks.brain_tumor.cases import CASES  # noqa: E402
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings  # noqa: E402
from consilium.tasks.brain_tumor.synthetic import (  # noqa: E402
    DEMO_COHORT,
    CaseLayout,
    CohortSpec,
    HospitalSpec,
    VoxelGrid,
    make_cohort,
)
from consilium.tasks.segmentation.preparation import foreground, normalization  # noqa: E402
from consilium.tasks.segmentation.preparation.intensities import standardize  # noqa: E402

GRID = VoxelGrid(shape=(48, 56, 44), spacing_mm=4.0)
TRAINED, SCORED = 5, 3
"""Patients of each scanner."""


def plain(values: NDArray[Any]) -> NDArray[np.float64]:
    """Z-scores of all nonzero voxels: the usual way."""
    exact = values.astype(np.float64)
    return (exact - exact.mean()) / exact.std()


def hard(values: NDArray[Any]) -> NDArray[np.float64]:
    """Z-scores of values clipped at their 0.5 and 99.5 percentiles."""
    return plain(np.clip(values, *np.percentile(values, (0.5, 99.5))))


WAYS: dict[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
    "plain": plain,
    "hard": hard,
    "as it is": standardize,
}


def main() -> None:
    """Train, score and print a line for each way and seed, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--cohorts", nargs="+", default=["clean", "hot"], choices=["clean", "hot"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            for cohort in options.cohorts:
                hospitals = make(Path(folder) / cohort, seed, damaged=cohort == "hot")
                for way in options.ways:
                    dice = train_and_score(
                        hospitals, Path(folder) / cohort / f"cache-{way}", way, seed, options.steps
                    )
                    rows.setdefault((cohort, way), []).append(dice)
                    print(f"{cohort:6} {way:9} seed {seed}: " + _text(dice), flush=True)
    for (cohort, way), all_dice in rows.items():
        mean, spread = np.mean(all_dice, axis=0), np.std(all_dice, axis=0)
        print(
            f"{cohort:6} {way:9} mean of {len(all_dice)} seeds: {_text(mean)}; std over seeds {_text(spread)}"
        )


def make(folder: Path, seed: int, *, damaged: bool) -> list[Path]:
    """Make patients for each of the demo's scanners; in every second case one image gets hot voxels."""
    hospitals = tuple(
        HospitalSpec(
            name=one.name,
            layout=CaseLayout.BRATS_2021,
            cases=TRAINED + SCORED,
            scanner=one.scanner,
            missing_et=0.0,
        )
        for one in DEMO_COHORT.hospitals
    )
    made = make_cohort(
        CohortSpec(hospitals=hospitals, grid=GRID, seed=seed), folder / "data", workers=2
    ).hospitals
    turn, hot = 0, list(hot_damages())
    for hospital in made.values():
        for case in sorted(path.name for path in hospital.iterdir() if path.is_dir()):
            if damaged and turn % 2:
                hot[turn // 2 % len(hot)].apply(hospital, case, case)
            turn += 1
    return list(made.values())


def train_and_score(
    hospitals: list[Path], cache: Path, way: str, seed: int, steps: int
) -> NDArray[np.float64]:
    """Return the mean Dice of each region over patients that the model hasn't seen."""
    task = get_task("brain_tumor")
    learning = BrainTumorSettings(
        spacing_mm=GRID.spacing_mm, patch_voxels=(32, 40, 32), batch_size=2, local_steps=steps, seed=seed
    )
    train: list[CachedCase] = []
    scored: list[CachedCase] = []
    for hospital in hospitals:
        box = foreground._anatomy_extents if way != "plain" else mock.Mock(return_value=None)
        with (
            mock.patch.object(normalization, "standardize", WAYS[way]),
            mock.patch.object(foreground, "_anatomy_extents", box),  # plain: whatever is nonzero
        ):
            cases = prepare(hospital, cache)
        train += cases[:TRAINED]
        scored += cases[TRAINED:]
    learner = SingleProcess(TrainingSetup(learning, ComputeSettings(device="cpu"), train))
    weights = learner.train(initial_weights(task, learning, seed), Schedule(0, 1)).weights
    scores = [one for one in learner.score(weights, scored, final=False) if one is not None]
    return np.array([np.mean([one[f"dice_{region.name}"] for one in scores]) for region in task.targets])


def prepare(hospital: Path, cache: Path) -> list[CachedCase]:
    """Preprocess a hospital's cases."""
    task = get_task("brain_tumor")
    settings = task.cases.preprocessing(GRID.spacing_mm)
    cohort = read_cohort(hospital, case_format=task.cases)
    return list(CaseCache(cache / hospital.name, case_format=CASES, settings=settings).prepare(cohort).cases)


def _text(dice: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.3f}" for value in dice)


if __name__ == "__main__":
    main()
