r"""Modality dropout: Dice of held-out patients with all modalities and without one, with and without it.

Patients of all training hospitals of the synthetic cohort are pooled, a quarter of them held out. Models are
trained with each probability and seed from the same weights, on the same patients, for the same steps, and
scored on the held-out patients as they are and with one modality replaced by 0, as preparing a case without
it does.

At 4 mm, about a minute of a core for each training:

    python benchmarks/modality_dropout.py --out runs/modality_dropout

Repeat an interrupted command: it resumes. Results are OUT/result.json and OUT/result.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from consilium.data.files import output_folder, private_folder, write_atomically
from consilium.errors import ConfigurationError, ConsiliumError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import open_device
from consilium.learning.predictor import Predictor
from consilium.learning.round_state import RoundStateStore
from consilium.learning.weights import MODEL
from consilium.tasks import get_task
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.regions import join_regions, to_regions
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.synthetic import specify_cohort
from nnunet import read_learning
from nnunet_parts.comparison import say
from nnunet_parts.ours import STEPS_OF_A_ROUND, Patients, pool_patients, train_ours
from nnunet_parts.results import require_same_settings

SETTINGS = ("spacing_mm=4", "patch_voxels=[32,40,32]")
COHORT = {"spacing": 4}


def main() -> None:
    """Train, score and print the table."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # MONAI calls deprecated parts of its own.
    options = _parser().parse_args()
    try:
        if options.steps < 1 or options.steps % STEPS_OF_A_ROUND:
            raise ConfigurationError(f"--steps {options.steps}: give a multiple of {STEPS_OF_A_ROUND}")
        out = output_folder(options.out, "--out")
        learning = read_learning("brain_tumor_fedavg", [*SETTINGS, *options.set])
        require_same_settings(out, [learning.model_dump_json(), options.steps], "a study")
        cohort = specify_cohort(synthetic_cohort(learning.task), COHORT)
        sites = cohort.make(out / "hospitals").hospitals
        patients = pool_patients(sites, out, learning, evaluators=cohort.evaluators, say=say)
        learning = learning.model_copy(update={"batch_size": patients.training_sites})
        compute = ComputeSettings(device=options.device, cpu_threads=options.threads, processes=1)
        found: dict[str, list[dict[str, float]]] = {}
        for seed in options.seeds:
            for probability in options.probabilities:
                changes = {"seed": seed, "modality_dropout": probability}
                own = learning.model_copy(update=changes)
                folder = private_folder(out / "trainings" / f"{probability:g}-{seed}")
                scores = _outcome(patients, own, options.steps, folder, compute)
                found.setdefault(f"{probability:g}", []).append(scores)
                say(f"dropout {probability:g}, seed {seed}: {_line(scores)}")
            _write(out, found, options.steps, options.seeds)
        print((out / "result.md").read_text())
    except ConsiliumError as error:
        sys.exit(f"error: {error}")


def _outcome(
    patients: Patients, learning: SegmentationSettings, steps: int, folder: Path, compute: ComputeSettings
) -> dict[str, float]:
    """Mean Dice by what the patients lack, of one training, which is done once."""
    done = folder / "outcome.json"
    if not done.exists():
        train_ours(patients, learning, steps, folder, compute, lambda text: None)
        kept = RoundStateStore(folder / "state").recall(steps // STEPS_OF_A_ROUND)
        assert kept is not None  # just trained
        inputs = get_task(learning.task).inputs
        scores = {
            lacking: _mean_dice(patients, learning, dict(kept.arrays[MODEL]), compute, lacking)
            for lacking in ("", *inputs)
        }
        write_atomically(done, json.dumps(scores).encode())
    outcome: dict[str, float] = json.loads(done.read_text())
    return outcome


def _mean_dice(
    patients: Patients,
    learning: SegmentationSettings,
    weights: dict[str, Any],
    compute: ComputeSettings,
    lacking: str,
) -> float:
    task = get_task(learning.task)

    def infer(network: nn.Module, inputs: Tensor) -> Tensor:
        if lacking:
            inputs = inputs.clone()
            inputs[:, task.inputs.index(lacking)] = 0
        return task.prediction.infer(network, inputs, learning, mirror=False)

    predictor = Predictor(task, learning, weights, open_device(compute), inference=infer)
    scores = []
    for case in patients.held_out:
        with torch.inference_mode():
            found = to_regions(join_regions(predictor.predict(case), task.targets), task.targets)
        scores.append(task.evaluation.score(found, case, final=False))
    key = [f"dice_{region.name}" for region in task.targets]
    return fmean(fmean(one[name] for name in key) for one in scores)


def _write(out: Path, found: dict[str, list[dict[str, float]]], steps: int, seeds: list[int]) -> None:
    write_atomically(
        out / "result.json", json.dumps({"steps": steps, "seeds": seeds, "dice": found}, indent=1).encode()
    )
    columns = list(next(iter(found.values()))[0])
    head = ["dropout", *(f"without {name}" if name else "all four" for name in columns)]
    lines = [head, ["---"] * len(head)]
    lines += [[name, *(f"{fmean(one[c] for one in of):.3f}" for c in columns)] for name, of in found.items()]
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    write_atomically(out / "result.md", text.encode())


def _line(scores: dict[str, float]) -> str:
    return ", ".join(f"{f'without {name}' if name else 'all'} {dice:.3f}" for name, dice in scores.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/modality_dropout"), help="default: %(default)s")
    add("--probabilities", type=float, nargs="+", default=[0.0, 0.2], help="default: 0 0.2")
    add("--seeds", type=int, nargs="+", default=[0, 1], help="default: 0 1")
    add("--steps", type=int, default=480, help="a multiple of 16 (default: 480)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    add("--threads", type=int, default=1, help="default: 1")
    return parser


if __name__ == "__main__":
    main()
