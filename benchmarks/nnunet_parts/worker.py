"""Training and prediction with nnU-Net; runs in an environment of its own, without Consilium.

    python worker.py train|predict ORDER.json

The order is written by `nnunet.py`. Lines for its reader begin with `MARK`; all others are nnU-Net's own.
A training that was interrupted resumes from its last checkpoint, a prediction with the next case.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from monai.networks import nets
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

MARK = "@@ "
SECONDS_BETWEEN_CHECKPOINTS = 60.0
CONFIGURATION = "3d_fullres"


class OtherNetworkTrainer(nnUNetTrainer):
    """nnU-Net's trainer with a network of Consilium, which has no outputs for deep supervision."""

    definition: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: Any,
        dataset_json: dict[str, Any],
        device: torch.device,
    ) -> None:
        # nnU-Net looks its arguments up by these names.
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> torch.nn.Module:
        """Build a network of MONAI, which the order defines."""
        definition = dict(OtherNetworkTrainer.definition)
        sizes = definition["in_channels"], definition["out_channels"]
        if sizes != (num_input_channels, num_output_channels):
            raise ValueError(f"nnU-Net has other images or regions than {definition}")
        kind = getattr(nets, definition.pop("_target_"))
        network: torch.nn.Module = kind(**definition)
        return network

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """There is none."""


class Clock:
    """Seconds of the processor with those of ended children; on a GPU, seconds of wall time.

    Args:
        device: `cpu` or `cuda`.
        before: Seconds of the runs before this one.
    """

    def __init__(self, device: str, before: float) -> None:
        self._cuda = device != "cpu"
        self._start = self._now() - before

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self._now() - self._start

    def _now(self) -> float:
        if self._cuda:
            torch.cuda.synchronize()
            return time.perf_counter()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime


def build(order: dict[str, Any]) -> nnUNetTrainer:
    """Return a trainer that is initialized, as its order has it."""
    torch.set_num_threads(order["threads"])
    random.seed(order["seed"])
    np.random.seed(order["seed"])
    torch.manual_seed(order["seed"])
    kind = OtherNetworkTrainer if order["network"] else nnUNetTrainer
    OtherNetworkTrainer.definition = order["network"] or {}
    plans = json.loads(Path(order["plans"]).read_text())
    described = json.loads(Path(order["dataset"]).read_text())
    plans["continue_training"] = False  # as nnU-Net's own command hands it over
    trainer = kind(plans, CONFIGURATION, "all", described, torch.device(order["device"]))
    trainer.initialize()
    return trainer


def train(order: dict[str, Any]) -> None:
    """Train for a number of steps, or for a number of seconds.

    The rate falls as nnU-Net's does, but by step and not by epoch of 250 steps, so that few steps see all of
    it; where seconds are given, with the share of them that has gone.
    """
    folder = Path(order["folder"])
    trainer = build(order)
    trainer.on_train_start()
    checkpoint, step, used = folder / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location=order["device"], weights_only=True)
        trainer.network.load_state_dict(kept["network"])
        trainer.optimizer.load_state_dict(kept["optimizer"])
        step, used = kept["step"], kept["seconds"]
    clock, saved = Clock(order["device"], used), time.monotonic()
    trainer.network.train()
    losses: list[float] = []
    while (done := progress(order, step, used)) < 1:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - done) ** 0.9
        losses.append(float(trainer.train_step(next(trainer.dataloader_train))["loss"]))
        step, used = step + 1, clock.seconds()
        if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS or progress(order, step, used) >= 1:
            save(trainer, checkpoint, step, used)
            saved = time.monotonic()
            share = f"{progress(order, step, used):.0%}"
            say(f"step {step}, {share}, loss {np.mean(losses[-16:]):.3f}, {used:.0f} s")
    parameters = sum(one.numel() for one in trainer.network.parameters())
    batch = trainer.configuration_manager.batch_size
    report = {"steps": step, "samples": step * batch, "train_seconds": used, "parameters": parameters}
    (folder / "worker.json").write_text(json.dumps(report))


def progress(order: dict[str, Any], step: int, used: float) -> float:
    """Return the share of the training that is done."""
    return step / order["steps"] if order["seconds"] is None else used / order["seconds"]


def save(trainer: nnUNetTrainer, path: Path, step: int, used: float) -> None:
    """Write a checkpoint in one step."""
    half = path.with_suffix(".half")
    network, optimizer = trainer.network.state_dict(), trainer.optimizer.state_dict()
    torch.save({"network": network, "optimizer": optimizer, "step": step, "seconds": used}, half)
    half.replace(path)


def predict(order: dict[str, Any]) -> None:
    """Predict the cases that have no label map yet."""
    folder = Path(order["folder"])
    trainer = build(order)
    weights = torch.load(folder / "checkpoint.pt", map_location=order["device"], weights_only=True)["network"]
    predictor = nnUNetPredictor(
        use_mirroring=order["mirror"], device=torch.device(order["device"]), allow_tqdm=False
    )
    trainer.set_deep_supervision_enabled(False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [weights],
        trainer.dataset_json,
        type(trainer).__name__,
        (0, 1, 2),
    )
    for number, (images, out) in enumerate(order["cases"], start=1):
        if not Path(out).exists():
            half = Path(out).with_name(f"half_{Path(out).name}")
            clock = Clock(order["device"], 0.0)
            predictor.predict_from_files_sequential([images], [str(half).removesuffix(".nii.gz")])
            Path(f"{out}.seconds").write_text(str(clock.seconds()))
            half.replace(out)
        say(f"case {number} of {len(order['cases'])} predicted")


def say(text: str) -> None:
    """Write a line for whoever started this."""
    print(f"{MARK}{text}", flush=True)


if __name__ == "__main__":
    {"train": train, "predict": predict}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
