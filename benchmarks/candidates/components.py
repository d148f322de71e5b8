"""Components: what is changed about the trainer, one at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candidates.augmentation import Affine, Augmentation, BiasField, Blur, LowResolution, Noise
from consilium.learning.algorithms.base import (
    AlgorithmSettings,
    LocalAlgorithm,
    LocalRound,
    LocalState,
)
from consilium.learning.schedule import Schedule
from consilium.learning.weights import Weights
from consilium.tasks import get_task
from consilium.tasks.base import Task
from consilium.tasks.brain_tumor.method import BrainTumorMethod
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.method import BatchShare
from consilium.tasks.segmentation.method import RegionLoss
from consilium.tasks.segmentation.networks import MonaiNetwork
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings

NetworkBuilder = Callable[[int, int], nn.Module]


class PolynomialSchedule(Schedule):
    """nnU-Net's rate: it falls with the power 0.9, after the same warm-up."""

    def rate(self, settings: LearningSettings, step: int, steps: int) -> float:
        """Return the rate at a step."""
        progress = (self.round_index + step / steps) / self.rounds
        warm = min(1.0, (progress + 1 / steps / self.rounds) / settings.warmup) if settings.warmup else 1.0
        return float(settings.learning_rate * warm * (1 - progress) ** 0.9)


class Hooks(LocalAlgorithm):
    """Plain local training; what a component changes about the steps is in subclasses."""

    def final_weights(self, trained: Weights) -> Weights:
        """Return the weights that are scored in the end."""
        return trained


class MovingAverage(Hooks):
    """Keeps an exponential moving average of the weights, and has it scored."""

    decay = 0.99

    def __init__(self, settings: AlgorithmSettings, learning: LearningSettings) -> None:
        super().__init__(settings, learning)
        self._average: dict[str, Tensor] = {}

    def after_step(self, local: LocalRound) -> None:
        """Move the average."""
        for name, value in local.network.state_dict().items():
            mean = self._average.setdefault(name, value.clone())
            mean.lerp_(value, 1 - self.decay)

    def final_weights(self, trained: Weights) -> Weights:
        """Return the average."""
        return {name: value.cpu().numpy() for name, value in self._average.items()}

    def state(self) -> LocalState:
        """Return the average, so that an interrupted training resumes with it."""
        return LocalState({"average": self.final_weights({})})

    def restore(self, state: LocalState | None) -> None:
        """Continue from an average."""
        arrays = state.arrays["average"] if state else {}
        self._average = {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}


class NesterovSgd(Hooks):
    """nnU-Net's optimizer: SGD with Nesterov's momentum of 0.99."""

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Build it."""
        return torch.optim.SGD(
            network.parameters(),
            lr=self.learning.learning_rate,
            momentum=0.99,
            nesterov=True,
            weight_decay=self.learning.weight_decay,
        )


class DeepSupervisionLoss(nn.Module):
    """The loss of all heads, each at half the weight of the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self._loss = RegionLoss()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of `(N, heads, R, X, Y, Z)`, or of one head `(N, R, X, Y, Z)`."""
        heads = logits.unbind(1) if logits.dim() == 6 else (logits,)
        weights = [0.5**place for place in range(len(heads))]
        losses = [self._loss(head, target) * weight for head, weight in zip(heads, weights, strict=True)]
        total: Tensor = torch.stack(losses).sum() / sum(weights)
        return total


class BatchDiceLoss(RegionLoss):
    """The job's loss with Dice over the voxels of the whole batch, as nnU-Net can have it."""

    def __init__(self) -> None:
        super().__init__()
        self._dice.batch = True


class StackedHeads(nn.Module):
    """A network of MONAI with heads of several sizes, enlarged to the first and stacked while training."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(N, heads, R, X, Y, Z)`; not training, `(N, R, X, Y, Z)`."""
        heads = self.network(images)
        if isinstance(heads, Tensor):
            return heads
        if not self.training:
            first: Tensor = heads[0]
            return first
        size = heads[0].shape[2:]
        return torch.stack([F.interpolate(head, size) for head in heads], dim=1)


def dyn_unet(first: int, *, heads: int) -> MonaiNetwork:
    """Return nnU-Net's network in MONAI, with that many filters at full resolution."""
    return MonaiNetwork(
        "DynUNet",
        {
            "spatial_dims": 3,
            "kernel_size": [3] * 4,
            "strides": [1, 2, 2, 2],
            "upsample_kernel_size": [2] * 3,
            "filters": [first * 2**level for level in range(4)],
            "act_name": ("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
            "deep_supervision": heads > 0,
            "deep_supr_num": max(1, heads),
        },
    )


def seg_resnet_ds(channels: int, regions: int) -> nn.Module:
    """Build SegResNetDS with 8 filters and three heads."""
    definition = {"init_filters": 8, "blocks_down": (1, 2, 2, 2), "norm": "instance", "dsdepth": 3}
    return StackedHeads(MonaiNetwork("SegResNetDS", definition)(channels, regions))


@dataclass(frozen=True)
class Component:
    """A change of the trainer.

    Attributes:
        title: For tables.
        settings: Learning settings of the job that differ.
        augmentation: On top of the job's, before the change of contrast.
        contrast: Whether the contrast is changed, as in every job.
        network: In place of the job's.
        loss: In place of the job's.
        hooks: Around the steps.
        schedule: Of the learning rate.
        steps: Factor of the steps.
    """

    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    augmentation: tuple[Augmentation, ...] = ()
    contrast: bool = True
    network: NetworkBuilder | None = None
    loss: type[nn.Module] | None = None
    hooks: type[Hooks] = Hooks
    schedule: type[Schedule] = Schedule
    steps: float = 1.0

    def task(self, name: str) -> Task:
        """Return a task with the changed method."""
        task = copy.copy(get_task(name))
        task.__dict__["method"] = ChangedMethod(self, task)
        return task


class ChangedMethod(BrainTumorMethod):
    """The method of brain tumors with a component changed."""

    def __init__(self, component: Component, task: Task) -> None:
        super().__init__(task.inputs, task.targets)  # type: ignore[arg-type]
        self._component = component
        self._encoded: Tensor | None = None

    def build_network(self, settings: SegmentationSettings) -> nn.Module:
        """Build the component's network."""
        build = self._component.network
        return build(len(self.inputs), len(self.regions)) if build else super().build_network(settings)

    def build_loss(self, settings: SegmentationSettings) -> nn.Module:
        """Build the component's loss."""
        return (self._component.loss or DeepSupervisionLoss)()

    def encode_targets(self, targets: Tensor) -> Tensor:
        """Keep the regions of the batch, as `augment` comes next and may turn them with the images."""
        self._encoded = super().encode_targets(targets)
        return self._encoded

    def augment(
        self,
        inputs: Tensor,
        share: BatchShare,
        generator: torch.Generator,
        settings: SegmentationSettings,
    ) -> Tensor:
        """Change the batch."""
        assert self._encoded is not None
        for change in self._component.augmentation:
            change(inputs, self._encoded, share, generator)
        return super().augment(inputs, share, generator, settings) if self._component.contrast else inputs


BASELINE: Final = "baseline"
COMPONENTS: Final = {
    BASELINE: Component("the job as it is"),
    "affine": Component("rotation by 30 degrees, scaling by 1.4, each p 0.2", augmentation=(Affine(),)),
    "noise": Component("noise", augmentation=(Noise(),)),
    "blur": Component("blur", augmentation=(Blur(),)),
    "low_resolution": Component("low resolution", augmentation=(LowResolution(),)),
    "bias_field": Component("bias field", augmentation=(BiasField(),)),
    "all_augmentation": Component(
        "rotation, scaling, noise, blur, low resolution",
        augmentation=(Affine(), Noise(), Blur(), LowResolution()),
    ),
    "scanner": Component(
        "noise, blur, low resolution, bias field",
        augmentation=(Noise(), Blur(), LowResolution(), BiasField()),
    ),
    "no_contrast": Component("without the change of contrast", contrast=False),
    "foreground_0": Component("no patch centered on a label", {"foreground_share": 0.0}),
    "foreground_60": Component("60 % of patches centered on a label", {"foreground_share": 0.6}),
    "foreground_90": Component("90 % of patches centered on a label", {"foreground_share": 0.9}),
    "average": Component("moving average of the weights, 0.99", hooks=MovingAverage),
    "polynomial": Component("polynomial rate, power 0.9", schedule=PolynomialSchedule),
    "rate_half": Component("half the rate", {"learning_rate": 4e-3}),
    "rate_double": Component("twice the rate", {"learning_rate": 1.6e-2}),
    "sgd": Component(
        "SGD, momentum 0.99, polynomial rate of 0.01, weight decay of 3e-5",
        {"learning_rate": 1e-2, "weight_decay": 3e-5},
        hooks=NesterovSgd,
        schedule=PolynomialSchedule,
    ),
    "weight_decay": Component("weight decay of 1e-2", {"weight_decay": 1e-2}),
    "batch_dice": Component("Dice over the batch", loss=BatchDiceLoss),
    "dyn_unet": Component("DynUNet, 8 filters", network=dyn_unet(8, heads=0)),
    "dyn_unet_deep": Component("DynUNet, 8 filters, deep supervision", network=dyn_unet(8, heads=2)),
    "seg_resnet_ds": Component("SegResNetDS, 8 filters, deep supervision", network=seg_resnet_ds),
}
"""Components by name."""
