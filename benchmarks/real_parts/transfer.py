"""One training on synthetic patients, and its model on real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from consilium.data.files import private_folder, write_atomically
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.model_file import save_model
from consilium.learning.round_state import RoundStateStore
from consilium.learning.weights import MODEL
from consilium.prediction.run import predict
from consilium.tasks import get_task
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from nnunet_parts.comparison import say
from nnunet_parts.ours import STEPS_OF_A_ROUND, pool_patients, score_ours, train_ours
from nnunet_parts.results import require_same_settings
from real_parts.patients import CONVENTION, REGIONS, RealPatient

MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class Transfer:
    """One training in a folder of its own; what is done already is kept.

    Args:
        folder: For everything.
        hospitals: Name to folder of the synthetic patients.
        learning: Settings of the training.
        steps: Of it.
        threads: Of it.
    """

    folder: Path
    hospitals: Mapping[str, Path]
    learning: SegmentationSettings
    steps: int
    threads: int

    def run(self, title: str, patients: Sequence[RealPatient], tumor_free: Sequence[Path]) -> dict[str, Any]:
        """Train and test; returns the row of the table.

        Raises:
            ConfigurationError: If the folder holds a training with other settings, steps or hospitals.
        """
        hospitals = sorted((name, str(path.resolve())) for name, path in self.hospitals.items())
        stated = [self.learning.model_dump_json(), self.steps, hospitals]
        require_same_settings(private_folder(self.folder), stated, "a training")
        synthetic = self._train(title)
        labels = {patient.name: self._predict(patient.folder) for patient in patients}
        marked = {case.name: self._predict(case) for case in tumor_free}
        return {
            "seed": self.learning.seed,
            "steps": self.steps,
            "synthetic": synthetic,
            "patients": {patient.name: _score(patient, labels[patient.name]) for patient in patients},
            "tumor_free_ml": {name: _volumes(label)["wt"] for name, label in marked.items()},
        }

    def _train(self, title: str) -> dict[str, float]:
        """Train, write the model, and return Dice of the held-out synthetic patients."""
        kept = self.folder / "synthetic.json"
        if kept.exists() and (self.folder / MODEL_FILE).exists():
            found: dict[str, float] = json.loads(kept.read_text())
            return found
        compute = ComputeSettings(device="cpu", cpu_threads=self.threads, loader_workers=0, processes=1)
        pooled = pool_patients(self.hospitals, self.folder, self.learning, say=say)
        train_ours(
            pooled, self.learning, self.steps, self.folder, compute, lambda text: say(f"{title}: {text}")
        )
        state = RoundStateStore(self.folder / "state").recall(self.steps // STEPS_OF_A_ROUND)
        assert state is not None  # after the training
        metadata = {"task": self.learning.task, "learning": self.learning.model_dump_json()}
        save_model(self.folder / MODEL_FILE, state.arrays[MODEL], metadata)
        scores, _ = score_ours(pooled, self.learning, self.steps, self.folder, compute, mirror=False)
        summary = get_task(self.learning.task).evaluation.summarize(scores)
        dice = {name: float(summary[f"dice_{name}"]) for name in REGIONS}
        write_atomically(kept, json.dumps(dice).encode())
        return dice

    def _predict(self, case: Path) -> nib.Nifti1Image:
        """Return the label map that `predict` writes for a case."""
        done = predict(
            self.folder / MODEL_FILE,
            case,
            self.folder / "predictions" / case.name,
            labels=CONVENTION,
            compute=ComputeSettings(device="cpu", cpu_threads=self.threads),
            workers=1,
        )
        (written,) = done.out.glob("*.nii.gz")
        return nib.load(written)


def _score(patient: RealPatient, label: nib.Nifti1Image) -> dict[str, Any]:
    """Dice of each region in the scored slices, and its volume in mL, found and true."""
    found = patient.regions(np.asarray(label.dataobj))
    image = patient.image("seg")
    true = patient.regions(np.asarray(image.dataobj))
    ml = float(abs(np.linalg.det(image.affine[:3, :3]))) / 1000
    return {
        name: {
            "dice": _dice(found[name], true[name]),
            "found_ml": float(found[name].sum() * ml),
            "true_ml": float(true[name].sum() * ml),
        }
        for name in REGIONS
    }


def _dice(found: np.ndarray[Any, Any], true: np.ndarray[Any, Any]) -> float | None:
    """Dice; None where there is nothing to find."""
    if not true.any():
        return None
    return float(2 * (found & true).sum() / (found.sum() + true.sum()))


def _volumes(label: nib.Nifti1Image) -> dict[str, float]:
    ml = float(abs(np.linalg.det(label.affine[:3, :3]))) / 1000
    values = np.asarray(label.dataobj)
    return {name: float(np.isin(values, of_it).sum() * ml) for name, of_it in REGIONS.items()}


def write_results(out: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write `result.json` and `result.md`; returns the table, with the mean of several seeds of a way."""
    write_atomically(out / "result.json", json.dumps(list(rows), indent=1).encode())
    names = list(rows[0]["patients"])
    free = list(rows[0]["tumor_free_ml"])
    head = ["generator", "steps", *(f"{name}: WT, TC, ET" for name in names), "mean WT, TC, ET"]
    head += [f"{name}, mL" for name in free] + ["synthetic WT, TC, ET"]
    lines = [head, ["---"] * len(head)]
    for way in dict.fromkeys(row["way"] for row in rows):
        of_way = [row for row in rows if row["way"] == way]
        lines += [_cells(f"{way}, seed {row['seed']}", [row]) for row in of_way]
        if len(of_way) > 1:
            lines.append(_cells(f"**{way}, mean**", of_way))
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_atomically(out / "result.md", table.encode())
    return table


def _cells(title: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line of the table: means over rows, which have the same patients."""
    names, free = list(rows[0]["patients"]), list(rows[0]["tumor_free_ml"])

    def dice(chosen: Sequence[str]) -> str:
        values = {
            region: [row["patients"][name][region]["dice"] for row in rows for name in chosen]
            for region in REGIONS
        }
        known = {region: [one for one in of_it if one is not None] for region, of_it in values.items()}
        return " ".join(f"{np.mean(of_it):.3f}" if of_it else "-" for of_it in known.values())

    return [
        title,
        str(rows[0]["steps"]),
        *(dice([name]) for name in names),
        dice(names),
        *(f"{np.mean([row['tumor_free_ml'][name] for row in rows]):.1f}" for name in free),
        " ".join(f"{np.mean([row['synthetic'][region] for row in rows]):.3f}" for region in REGIONS),
    ]
