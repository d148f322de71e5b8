"""A training step with differential privacy by patient, against a plain one on the same patches.

Both compute the same network and loss on the same patches and take an AdamW step. The plain step has one
backward pass over the batch; the other has one a patient, clips and adds up, and draws noise. They take
turns, and the ratio is of CPU seconds on the CPU, which other processes change little, and of seconds on a
GPU. Of the private step, the parts are measured as well: noise is the same whatever the patch.

    python benchmarks/dp_step.py [--network unet_small] [--patients 4] [--patch 64] [--turns 5]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from consilium.learning.algorithms.base import LocalRound, LocalStep
from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings, LocalDpSgd
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, open_device
from consilium.learning.dropout import share_dropout
from consilium.learning.patient_gradients import PatientGradients
from consilium.learning.ranks import Ranks
from consilium.learning.schedule import Schedule
from consilium.learning.secure_random import SecureRandom
from consilium.privacy.mechanism import SampledGaussian
from consilium.tasks import get_task, parse_learning
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.method import BatchShare

PAID = SampledGaussian(noise_multiplier=1.4, sampling_rate=1.0, steps=1_000)


def main() -> None:
    """Measure both steps in turns, and print their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--network", default="unet_small")
    options.add_argument("--patients", type=int, default=4, help="a step, each with two patches")
    options.add_argument("--patch", type=int, default=64, help="voxels of its edge")
    options.add_argument("--turns", type=int, default=5)
    chosen = options.parse_args()
    device = open_device(ComputeSettings(cpu_threads=1))
    learning = parse_learning(
        {
            "task": "brain_tumor",
            "network": chosen.network,
            "patch_voxels": chosen.patch,
            "batch_size": chosen.patients,
        },
        source="the benchmark",
    )
    network, run = private_step(learning, device, chosen.patients)
    steps = {"plain": plain_step(learning, device, 2 * chosen.patients), "private": run}
    steps["of it, noise"] = noise_alone(network)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(chosen.turns + 1):
        for name, step in steps.items():
            taken = measure(step, device)
            if turn:  # the first one warms up
                seconds[name].append(taken)
        print(f"turn {turn} of {chosen.turns}", file=sys.stderr)
    weights = sum(value.numel() for value in network.parameters())
    where = torch.cuda.get_device_name() if device.torch_device.type == "cuda" else "CPU, one thread"
    print(
        f"{chosen.network}, {weights:,} weights, {chosen.patients} patients a step with two patches of "
        f"{chosen.patch} voxels each way; {where}"
    )
    for name, values in seconds.items():
        print(f"{name:14s}{statistics.median(values):8.3f} s")
    ratios = [one / plain for one, plain in zip(seconds["private"], seconds["plain"], strict=True)]
    print(f"ratio         {statistics.median(ratios):8.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def plain_step(learning: LearningSettings, device: Device, rows: int) -> Callable[[], None]:
    """Return a step with one backward pass over the batch."""
    network, loss = build(learning, device, rows)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    images, target = random_patches(learning, device, rows)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(images, target).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 12.0)
        optimizer.step()

    return step


def private_step(
    learning: LearningSettings, device: Device, patients: int
) -> tuple[nn.Module, Callable[[], None]]:
    """Return the network, and a step of the algorithm."""
    network, loss = build(learning, device, 2)
    algorithm = LocalDpSgd(DpSgdAlgorithmSettings(), learning)
    optimizer = algorithm.build_optimizer(network)
    images, target = random_patches(learning, device, 2 * patients)
    schedule = Schedule(paid=(PAID,))
    local = LocalRound(schedule, {}, {}, network, optimizer, PAID.steps, Ranks())
    algorithm.begin(local)
    next(algorithm.draw_patients(local, patients))
    places = torch.arange(patients).repeat_interleave(2)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        algorithm.compute_gradients(local, LocalStep(images, target, places, loss, lambda value: None))
        optimizer.step()

    return network, step


def noise_alone(network: nn.Module) -> Callable[[], None]:
    """Return what draws the noise of a step."""
    sums, random = PatientGradients(list(network.parameters()), clip=1.0), SecureRandom()
    return lambda: sums.add_noise(1.4, random)


def build(
    learning: LearningSettings, device: Device, rows: int
) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    """Return a network as the trainer has it, and its mean loss."""
    method = get_task(learning.task).method
    network = method.build_network(learning)
    share_dropout(network, BatchShare(rows), torch.Generator())
    network, loss = device.place(network).train(), method.build_loss(learning)

    def mean_loss(images: Tensor, target: Tensor) -> Tensor:
        with device.autocast():
            logits = network(images)
        value: Tensor = loss(logits.float(), target)
        return value

    return network, mean_loss


def random_patches(learning: LearningSettings, device: Device, rows: int) -> tuple[Tensor, Tensor]:
    """Return images and encoded targets."""
    task = get_task(learning.task)
    images, target = task.method.example_batch(learning.model_copy(update={"batch_size": rows}))
    return device.move(torch.randn_like(images)), (torch.rand_like(target) > 0.9).float().to(
        device.torch_device
    )


def measure(step: Callable[[], None], device: Device) -> float:
    """Return the seconds of a step."""
    on_gpu = device.torch_device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        torch.cuda.synchronize()
    started = clock()
    step()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - started


if __name__ == "__main__":
    main()
