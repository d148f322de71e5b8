"""What a window of a prediction takes, and what was tried to make its network faster.

CPU seconds of the CPU job's network on one window of its patch, in ways that take turns; then of all else
that a case takes in windows: placing them, and averaging what overlaps, with a network that does nothing.
Weights and images are random, as time does not depend on them. Run it from the repository's root:

    python benchmarks/window.py

About a minute of a core. `torch.jit` is deprecated by torch, and here only because bundles contain it.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from consilium.tasks import get_task
from consilium.tasks.segmentation.windows import slide_windows
from nnunet import read_learning

JOB = "brain_tumor_fedavg"
Work = Callable[[], object]


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15, help="of each way (default: 15)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.set_num_threads(options.threads)
    learning = read_learning(JOB, options.set)
    method = get_task("brain_tumor").method
    network = method.build_network(learning).eval()
    inputs, targets = method.example_batch(learning)
    window = torch.randn(1, *inputs.shape[1:])
    logits = torch.zeros(1, *targets.shape[1:])
    size, overlap = learning.patch_voxels, learning.window_overlap
    wider = torch.randn(*window.shape[:2], size[0] + 8, *size[1:])
    with torch.inference_mode():
        show("the network", measure(networks(network, window), options.repeats))

        def place(case: Tensor, *, mirror: bool) -> Work:
            return lambda: slide_windows(
                lambda piece: logits, case, size=size, overlap=overlap, mirror=mirror
            )

        cases = {
            f"{name}{', mirrored' if mirror else ''}": place(case, mirror=mirror)
            for mirror in (False, True)
            for name, case in (("one window", window), ("two windows", wider))
        }
        show("placing and averaging", measure(cases, options.repeats))


def networks(network: torch.nn.Module, window: Tensor) -> dict[str, Work]:
    """Return the ways to pass one window through the network, and one way for two."""
    last = torch.channels_last_3d
    laid_out = copy.deepcopy(network).to(memory_format=last)
    scripted = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, window)))
    both = torch.cat([window, window])

    def in_bfloat16() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network(window)

    return {
        "as it is": lambda: network(window),
        "channels_last_3d": lambda: laid_out(window.to(memory_format=last)),
        "two windows in one batch": lambda: network(both),
        "TorchScript, optimize_for_inference": lambda: scripted(window),
        "bfloat16": in_bfloat16,
    }


def measure(ways: Mapping[str, Work], repeats: int) -> dict[str, float]:
    """Return the median CPU seconds of each way; they take turns, so that other load hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 2):
        for name, work in ways.items():
            started = time.process_time()
            work()
            if turn > 1:  # the first turns compile and allocate
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(found) for name, found in seconds.items()}


def show(title: str, seconds: Mapping[str, float]) -> None:
    """Print a table in milliseconds."""
    print(f"| {title} | CPU ms |\n|---|---|")
    for name, found in seconds.items():
        print(f"| {name} | {1000 * found:.0f} |", flush=True)


if __name__ == "__main__":
    main()
