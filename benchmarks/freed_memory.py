r"""Memory that a training step frees: CPU seconds of steps with and without giving it back to the system.

Each variant runs in processes of its own, in turns, on one thread; CPU seconds of user and system, and the
process's peak memory. Nothing is read from the disk: a batch of noise.

    python benchmarks/freed_memory.py

prints a Markdown table; about five minutes of a core.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys

import torch

from consilium.learning.freed_memory import keep_freed_memory
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

WARM_UP = 2
NETWORKS = ("unet_small", "segresnet")


def main() -> None:
    """Run the variants in turns and print the table."""
    options = _parser().parse_args()
    if options.child:
        print(json.dumps(_measure(*options.child, steps=options.steps)))
        return
    print("| network | freed memory | user s a step | system s a step | peak GiB |\n|---|---|---|---|---|")
    for network in NETWORKS:
        runs: dict[str, list[dict[str, float]]] = {"returned": [], "kept": []}
        for _ in range(options.repetitions):
            for variant, found in runs.items():
                steps = ["--steps", str(options.steps)]
                command = [sys.executable, __file__, "--child", network, variant, *steps]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found.append(json.loads(output))
        for variant, found in runs.items():
            cells = (statistics.median(one[name] for one in found) for name in ("user", "system", "peak"))
            print(f"| {network} | {variant} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


def _measure(network: str, variant: str, *, steps: int) -> dict[str, float]:
    """Train on a batch of noise; returns CPU seconds of a step, and GiB."""
    torch.set_num_threads(1)
    if variant == "kept":
        keep_freed_memory()
    settings = BrainTumorSettings(network=network)
    method = get_task("brain_tumor").method
    model, loss = method.build_network(settings), method.build_loss(settings)
    optimizer = torch.optim.AdamW(model.parameters())
    inputs, targets = (one.normal_() for one in method.example_batch(settings))
    start = resource.getrusage(resource.RUSAGE_SELF)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            start = resource.getrusage(resource.RUSAGE_SELF)
        optimizer.zero_grad(set_to_none=True)
        loss(model(inputs.clone()), (targets > 0).float()).backward()
        optimizer.step()
    end = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "user": (end.ru_utime - start.ru_utime) / steps,
        "system": (end.ru_stime - start.ru_stime) / steps,
        "peak": end.ru_maxrss / 2**20,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--steps", type=int, default=4, help="that are measured, in each process (default: 4)")
    add("--repetitions", type=int, default=3, help="processes of each variant (default: 3)")
    add("--child", nargs=2, default=None, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
