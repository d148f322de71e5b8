"""Results of the comparison: per training in the work folder, and their means for everybody."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.learning.bootstrap import interval_of_mean
from consilium.tasks.evaluation import Evaluation

_NUMBERS: Final = ("steps", "samples", "parameters", "train_seconds")


@dataclass(frozen=True)
class Outcome:
    """One training and its scores. The scores are about patients and stay in the work folder.

    Attributes:
        steps: Made.
        samples: Patches that were shown.
        parameters: Of the network.
        train_seconds: CPU seconds of the steps with their samples; on a GPU, wall time.
        predict_seconds: Of all predictions, prepared cases to label maps; of nnU-Net from files to files.
        load: Average load of the machine at the end of the training.
        scores: Of each held-out case, in their order.
    """

    steps: int
    samples: int
    parameters: int
    train_seconds: float
    predict_seconds: float
    load: float
    scores: list[dict[str, float]]

    def save(self, path: Path) -> None:
        """Write it."""
        write_atomically(path, json.dumps(asdict(self)).encode())

    @classmethod
    def load_file(cls, path: Path) -> Outcome | None:
        """Read it; None where it is missing."""
        return cls(**json.loads(path.read_text())) if path.exists() else None


def require_same_settings(folder: Path, stated: Sequence[object], what: str) -> None:
    """Make sure that what lies in a folder, and is kept, is of the same settings.

    Args:
        folder: With results; marked where it isn't yet.
        stated: All that they depend on; each is printed.
        what: They are, for people: "a comparison".

    Raises:
        ConfigurationError: If it holds results of others.
    """
    mark, digest = folder / "settings.sha256", hashlib.sha256(repr(list(stated)).encode()).hexdigest()
    if mark.exists() and mark.read_text() != digest:
        raise ConfigurationError(
            f"{folder} holds {what} with other settings, steps or cases; choose another --out"
        )
    write_atomically(mark, digest.encode())


def summarize(
    outcomes: Mapping[str, Mapping[int, Outcome]],
    evaluation: Evaluation,
    patients: Sequence[str],
    *,
    baseline: str,
) -> dict[str, Any]:
    """Return means by way and seed, and what each way differs from the baseline; nothing of one patient.

    Args:
        outcomes: Way to seed to what came of it.
        evaluation: Of the task.
        patients: Whose case each row of the scores is.
        baseline: The way that the others are compared with, seed by seed.
    """
    summary: dict[str, Any] = {}
    for way, by_seed in outcomes.items():
        seeds = {
            str(seed): {
                **{name: getattr(one, name) for name in (*_NUMBERS, "load")},
                "predict_seconds_a_case": one.predict_seconds / len(one.scores),
                "scores": dict(evaluation.summarize(one.scores)),
            }
            for seed, one in sorted(by_seed.items())
        }
        values = list(seeds.values())
        summary[way] = {
            "seeds": seeds,
            "mean": {
                name: statistics.fmean(one["scores"][name] for one in values) for name in values[0]["scores"]
            },
            **{
                name: statistics.fmean(one[name] for one in values)
                for name in (*_NUMBERS, "predict_seconds_a_case")
            },
        }
        shared = sorted(by_seed.keys() & outcomes[baseline].keys())
        if way != baseline and shared:
            pairs = [(by_seed[seed], outcomes[baseline][seed]) for seed in shared]
            summary[way]["compared"] = _compare(pairs, patients)
    return summary


def _compare(pairs: Sequence[tuple[Outcome, Outcome]], patients: Sequence[str]) -> dict[str, Any]:
    """The mean difference in Dice over seeds and patients, and the ratio of training seconds."""
    differences = np.mean([_dice(one) - _dice(other) for one, other in pairs], axis=0)
    interval = interval_of_mean(differences[:, None], patients)
    seconds = [one.train_seconds / other.train_seconds for one, other in pairs]
    return {
        "seeds": len(pairs),
        "dice_difference": float(differences.mean()),
        "interval_over_patients": None if interval is None else [float(bound[0]) for bound in interval],
        "train_seconds_ratio": statistics.fmean(seconds),
    }


def _dice(outcome: Outcome) -> Any:
    """Mean Dice of the regions of each case, `(cases,)`."""
    return np.array(
        [
            statistics.fmean(value for name, value in case.items() if name.startswith("dice_"))
            for case in outcome.scores
        ]
    )


def table(summary: Mapping[str, Any], titles: Mapping[str, str], regions: Sequence[str]) -> str:
    """Return the summary as a table in Markdown.

    Args:
        summary: See `summarize`.
        titles: Of the ways.
        regions: Names of the regions.
    """
    head = [
        "way",
        "steps",
        "samples",
        "parameters",
        "Dice",
        *(region.upper() for region in regions),
        "HD95, mm",
        "Dice minus ours (95 % over patients)",
        "training, s",
        "times ours",
        "prediction, s a case",
    ]
    rows = [head, ["---"] * len(head)]
    for way, one in summary.items():
        mean, compared = one["mean"], one.get("compared")
        rows.append(
            [
                f"{titles[way]}, {len(one['seeds'])} seed{'s' * (len(one['seeds']) > 1)}",
                *(f"{one[name]:.0f}" for name in ("steps", "samples", "parameters")),
                *(f"{mean[name]:.3f}" for name in ("dice", *(f"dice_{region}" for region in regions))),
                f"{mean['hd95']:.1f}",
                _difference(compared) if compared else "",
                f"{one['train_seconds']:.0f}",
                f"{compared['train_seconds_ratio']:.2f}" if compared else "",
                f"{one['predict_seconds_a_case']:.2f}",
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _difference(compared: Mapping[str, Any]) -> str:
    interval = compared["interval_over_patients"]
    bounds = "" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"
    return f"{compared['dice_difference']:+.3f}{bounds}"
