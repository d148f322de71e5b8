"""Time and Dice of `consilium predict` against MONAI's sliding window, in one run on the same model.

MONAI's `SlidingWindowInferer` runs with its default settings and the training patch, on the whole image as a
usual chain of transforms hands it over (normalized, resampled, not cropped), and on our crop. Ours finds the
crop's anatomy and slides as few windows as hold it. Seconds are those of the processor, medians of rounds in
which the ways take turns, so that other load on the machine hits all alike. Run it from the repository's
root, with a model:

    python benchmarks/predict.py runs/demo/result

Cases are two synthetic patients of full size, and the real ones of CONSILIUM_REAL_DATA where it is set.
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
from typing import Any

import torch
import torch.nn.functional as F
from monai.inferers import SlidingWindowInferer
from torch import Tensor

from consilium.data.cache import CaseCache
from consilium.data.cohort import find_cases, read_cohort
from consilium.learning.network_state import set_weights
from consilium.prediction.run import predict
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.volume_case import VolumeCase

SYNTHETIC = {"hospitals": {"north": "brats2021:2"}, "spacing": 1.0}


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
) -> None:
    """Print Dice and seconds of each way for the cases of a folder."""
    task, learning = model.task, model.learning
    case_format = task.cases
    cache = CaseCache(cache_folder, case_format=case_format, settings=case_format.preparation(learning))
    cohort = read_cohort(folder, case_format=case_format, convention=convention)
    network = task.method.build_network(learning).eval()
    set_weights(network, model.weights)
    monai = SlidingWindowInferer(learning.patch_voxels)  # type: ignore[attr-defined]
    ours = partial(task.prediction.infer, network, settings=learning)
    for cached in cache.prepare(cohort).cases:
        case = VolumeCase.of(cached)
        inputs = task.method.read_inputs(case)
        image, inside = whole_image(inputs, case)
        with torch.inference_mode():
            done = turns(
                {
                    "MONAI, whole image": lambda image=image, inside=inside: monai(image, network)[inside],
                    "MONAI, our crop": lambda inputs=inputs: monai(inputs, network),
                    "ours": lambda inputs=inputs: ours(inputs, mirror=False),
                    "ours, mirrored": lambda inputs=inputs: ours(inputs, mirror=True),
                },
                network,
                repeats,
            )
        ours_seconds = statistics.median(done["ours"].seconds)
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


def whole_command(model: TrainedModel, folder: Path, out: Path) -> None:
    """Print the seconds of one case from its files to its label map, after the first one."""
    cases = find_cases(folder, case_format=model.task.cases).cases
    for case in cases[:2]:
        started, cpu = time.perf_counter(), time.process_time()
        predict(model, folder, out, only=[case.id], workers=1)
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
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = TrainedModel.load(options.model)
    real = os.environ.get("CONSILIUM_REAL_DATA")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        synthetic = synthetic_cohort(model.task.name).specify(SYNTHETIC)
        hospitals = synthetic.make(folder / "cohort").hospitals
        folders: dict[Path, str | None] = dict.fromkeys(hospitals.values(), None)
        if real:
            folders |= {
                Path(real) / "tcga_lgg": "brats-2018",
                Path(real) / "msd_task01/BRATS_009": "brats-2018",
            }
        for number, (cases, convention) in enumerate(folders.items()):
            compare(model, cases, convention, folder / f"cache{number}", options.repeats)
            whole_command(model, cases, folder / f"out{number}")


if __name__ == "__main__":
    main()
