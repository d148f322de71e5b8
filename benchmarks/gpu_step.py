"""Training steps a second on a GPU, against the settings of MONAI's brats_mri_segmentation bundle.

Both train SegResNet with 16 filters on 128x128x128 patches already on the GPU, so that only the step is
measured: ours in bfloat16 (else float16) with channels_last_3d, tuned convolutions and AdamW;
the bundle's in float16 with a gradient scaler, the default memory format and Adam. Between them, ours with
one thing as in the bundle: the memory format, the precision, or the loss. Same batch size, in slots.

    python benchmarks/gpu_step.py [BATCH_SIZE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from monai.losses import DiceLoss
from monai.networks.nets import SegResNet
from torch import nn

from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, open_device
from consilium.tasks import get_task, parse_learning

PATCH = (128, 128, 128)
TURNS, STEPS = 5, 10
BUNDLE = "the bundle"


def main() -> None:
    """Measure both, in slots, and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "batch", metavar="BATCH_SIZE", type=int, nargs="?", default=2, help="default: %(default)s"
    )
    batch = parser.parse_args().batch
    if not torch.cuda.is_available():
        sys.exit("no CUDA device here: this benchmark is for a GPU machine (see `nvidia-smi`)")
    device = open_device(ComputeSettings())
    steps = {
        BUNDLE: bundle_step(batch),
        "ours": our_step(batch, device),
        "ours, default format": our_step(batch, device, channels_last=False),
        "ours, float16": our_step(batch, replace(device, amp_dtype=torch.float16)),
        "ours, Dice alone": our_step(batch, device, loss=bundle_loss()),
    }
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, batch {batch}, {PATCH}")
    for name, step in steps.items():
        print(f"{name:24s}first steps {samples_a_second(step, batch):8.2f} samples a second", flush=True)
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(TURNS):
        for name, step in steps.items():
            rates[name].append(samples_a_second(step, batch))
    for name, values in rates.items():
        ratios = [one / bundle for one, bundle in zip(values, rates[BUNDLE], strict=True)]
        print(
            f"{name:24s}{statistics.median(values):8.2f} samples a second, "
            f"{statistics.median(ratios):5.2f} of the bundle's"
        )


def our_step(
    batch: int, device: Device, *, channels_last: bool = True, loss: nn.Module | None = None
) -> Callable[[], None]:
    """Return a step with the trainer's settings.

    Args:
        batch: Batch size.
        device: Where, and in which precision.
        channels_last: Whether in the memory format that `Device.place` chooses, or in torch's default.
        loss: In place of the task's.
    """
    task = get_task("brain_tumor")
    learning = parse_learning({"task": task.name, "network": "segresnet"}, source="the benchmark")
    network, loss = task.method.build_network(learning), loss or task.method.build_loss(learning)
    network = (device.place(network) if channels_last else network.to(device.torch_device)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4)
    scaler = device.new_scaler()
    image, target = random_batch(batch)
    image = device.move(image) if channels_last else image

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with device.autocast():
            logits = network(image)
        scaler.scale(loss(logits.float(), target)).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def bundle_step(batch: int) -> Callable[[], None]:
    """Return a step with the bundle's settings."""
    network = SegResNet(
        blocks_down=[1, 2, 2, 4],
        blocks_up=[1, 1, 1],
        init_filters=16,
        in_channels=4,
        out_channels=3,
        dropout_prob=0.2,
    ).cuda()
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-5, amsgrad=True)
    loss = bundle_loss()
    scaler = torch.amp.GradScaler()
    image, target = random_batch(batch)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            value = loss(network(image), target)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def bundle_loss() -> nn.Module:
    """Return the bundle's loss."""
    return DiceLoss(smooth_nr=0, smooth_dr=1e-5, squared_pred=True, to_onehot_y=False, sigmoid=True)


def random_batch(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and region targets on the GPU."""
    image = torch.randn(batch, 4, *PATCH, device="cuda")
    return image, (torch.rand(batch, 3, *PATCH, device="cuda") > 0.9).float()


def samples_a_second(step: Callable[[], None], batch: int) -> float:
    """Return the rate over a number of steps."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    torch.cuda.synchronize()
    return STEPS * batch / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
