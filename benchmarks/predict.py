"""Time and Dice of `consilium predict` against MONAI's sliding window, in one run on the same model.

MONAI's `SlidingWindowInferer` runs with its default settings and the training patch, on the whole image as a
usual chain of transforms hands it over (normalized, resampled, not cropped), and on our crop. Ours finds the
crop's anatomy and slides as few windows as hold it. Seconds are those of the processor, medians of rounds in
which the ways take turns, so that other load on the machine hits all alike. The last lines sum up all cases.
Run it from the repository's root, with a model:

    python benchmarks/predict.py runs/demo/result

Cases are synthetic patients of full size, and the real ones of CONSILIUM_REAL_DATA where it is set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from monai.inferers import SlidingWindowInferer
from torch import Tensor

from consilium.data.cache import CaseCache
from consilium.data.cohort import find_cases, read_cohort
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.network_state import set_weights
from consilium.prediction.run import predict
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.volume_case import VolumeCase

WHOLE, OURS = "MONAI, whole image", "ours"


def whole_image(inputs: Tensor, case: VolumeCase) -> tuple[Tensor, Any]:
    """Put the crop back into an image of the file's extent, and return where it lies in it."""
    geometry = case.geometry
    ratios = [task / native for task, native in zip(geometry.task_shape, geometry.crop_shape, strict=True)]
    # Of the cases here, no axis changes its place on the way to RAS.
    extent = geometry.file_shape
    starts = [round(start * ratio) for start, ratio in zip(geometry.crop_start, ratios, strict=True)]
    sizes = [
        max(round(length * ratio), start + inside)
        for length, ratio, start, inside in zip(extent, ratios, starts, geometry.task_shape, strict=True)
    ]
    after = [
        size - start - inside for size, start, inside in zip(sizes, starts, geometry.task_shape, strict=True)
    ]
    pads = [one for low, high in zip(starts[::-1], after[::-1], strict=True) for one in (low, high)]
    inside = tuple(
        slice(start, start + length) for start, length in zip(starts, geometry.task_shape, strict=True)
    )
    return F.pad(inputs, pads), (..., *inside)


class Result(NamedTuple):
    """Seconds of the processor and mean Dice of one way for one case."""

    seconds: float
    dice: float


@dataclass
class Cost:
    """What a way to predict a case takes.

    Attributes:
        seconds: Of the processor, of each repeat.
        windows: Passes of the network in the last one.
        logits: The result.
    """

    seconds: list[float] = field(default_factory=list)
    windows: int = 0
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


def turns(ways: dict[str, Callable[[], Tensor]], network: torch.nn.Module, repeats: int) -> dict[str, Cost]:
    """Run each way in turn, `repeats` times."""
    costs = {name: Cost() for name in ways}
    passes: list[int] = []
    counting = network.register_forward_hook(lambda *given: passes.append(1))
    for _ in range(repeats):
        for name, way in ways.items():
            passes.clear()
            started = time.process_time()
            costs[name].logits = way()
            costs[name].seconds.append(time.process_time() - started)
            costs[name].windows = len(passes)
    counting.remove()
    return costs


def compare(
    model: TrainedModel, folder: Path, convention: str | None, cache_folder: Path, repeats: int
) -> list[dict[str, Result]]:
    """Print and return Dice and seconds of each way for the cases of a folder."""
    task, learning = model.task, model.learning
    case_format = task.cases
    cache = CaseCache(cache_folder, case_format=case_format, settings=case_format.preparation(learning))
    cohort = read_cohort(folder, case_format=case_format, convention=convention)
    network = task.method.build_network(learning).eval()
    set_weights(network, model.weights)
    monai = SlidingWindowInferer(learning.patch_voxels)  # type: ignore[attr-defined]
    ours = partial(task.prediction.infer, network, settings=learning)
    results = []
    for cached in cache.prepare(cohort).cases:
        case = VolumeCase.of(cached)
        inputs = task.method.read_inputs(case)
        image, inside = whole_image(inputs, case)
        with torch.inference_mode():
            done = turns(
                {
                    WHOLE: lambda image=image, inside=inside: monai(image, network)[inside],
                    "MONAI, our crop": lambda inputs=inputs: monai(inputs, network),
                    OURS: lambda inputs=inputs: ours(inputs, mirror=False),
                    "ours, mirrored": lambda inputs=inputs: ours(inputs, mirror=True),
                },
                network,
                repeats,
            )
        ours_seconds = statistics.median(done[OURS].seconds)
        result = {}
        for name, cost in done.items():
            found = task.method.decide(task.method.interpret(cost.logits[0].float(), case))
            scores = task.evaluation.score(found, case, final=False)
            dice = statistics.fmean(value for key, value in scores.items() if key.startswith("dice"))
            seconds = statistics.median(cost.seconds)
            print(
                f"{case.id:16} {name:20} {cost.windows:3} windows {seconds:6.2f} s  "
                f"{seconds / ours_seconds:5.2f} times ours  Dice {dice:.4f}",
                flush=True,
            )
            result[name] = Result(seconds, dice)
        results.append(result)
    return results


def summarize(title: str, results: list[dict[str, Result]]) -> None:
    """Print what the cases give together: seconds and Dice of each way against ours."""
    total = sum(result[OURS].seconds for result in results)
    for name in results[0]:
        ratio = sum(result[name].seconds for result in results) / total
        differences = [result[name].dice - result[OURS].dice for result in results]
        dice = statistics.fmean(result[name].dice for result in results)
        print(
            f"{title}, {len(results)} cases: {name:20} {ratio:5.2f} times ours  Dice {dice:.4f}, "
            f"minus ours {statistics.fmean(differences):+.4f} "
            f"({min(differences):+.4f} to {max(differences):+.4f})",
            flush=True,
        )


def whole_command(model: TrainedModel, folder: Path, out: Path, threads: int) -> None:
    """Print the seconds of two cases from their files to their label maps."""
    cases = find_cases(folder, case_format=model.task.cases).cases
    # Without it, prediction takes all cores, and so would everything that is measured after it.
    compute = ComputeSettings(device="cpu", cpu_threads=threads)
    for case in cases[:2]:
        started, cpu = time.perf_counter(), time.process_time()
        predict(model, folder, out, only=[case.id], workers=1, compute=compute)
        print(
            f"{case.id:16} files to label map   {time.perf_counter() - started:6.2f} s, "
            f"{time.process_time() - cpu:.2f} CPU seconds",
            flush=True,
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a result folder or a model file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--synthetic", type=int, default=2, help="synthetic patients (default: 2)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = TrainedModel.load(options.model)
    real = os.environ.get("CONSILIUM_REAL_DATA")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        changes = {"hospitals": {"north": f"brats2021:{options.synthetic}"}, "spacing": 1.0}
        synthetic = synthetic_cohort(model.task.name).specify(changes)
        hospitals = synthetic.make(folder / "cohort").hospitals
        kinds: dict[str, dict[Path, str | None]] = {"synthetic": dict.fromkeys(hospitals.values(), None)}
        if real:
            kinds["real"] = {
                Path(real) / "tcga_lgg": "brats-2018",
                Path(real) / "msd_task01/BRATS_009": "brats-2018",
            }
        for kind, folders in kinds.items():
            results = []
            for number, (cases, convention) in enumerate(folders.items()):
                cache = folder / f"cache-{kind}-{number}"
                results += compare(model, cases, convention, cache, options.repeats)
                whole_command(model, cases, folder / f"out-{kind}-{number}", options.threads)
            summarize(kind, results)


if __name__ == "__main__":
    main()
