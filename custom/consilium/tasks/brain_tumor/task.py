"""Brain tumor segmentation on four-contrast MRI, as in the BraTS challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.labels import Tissue
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.segmentation.evaluation import SegmentationEvaluation
from consilium.tasks.segmentation.regions import Region
from consilium.tasks.segmentation.settings import PatchVoxels, SegmentationSettings, SpacingMm

if TYPE_CHECKING:
    from torch import Tensor, nn


class BrainTumorSettings(SegmentationSettings):
    """What a job decides about learning brain tumor segmentation; the defaults are those of the CPU job."""

    task: Literal["brain_tumor"] = "brain_tumor"
    network: Literal["unet_small", "segresnet"] = "unet_small"
    spacing_mm: SpacingMm = (2.0, 2.0, 2.0)
    patch_voxels: PatchVoxels = (72, 88, 80)


class BrainTumor:
    """Segment the three nested regions of a glioma from T1, contrast-enhanced T1, T2 and FLAIR.

    Regions overlap (ET inside TC inside WT), so each output channel is a binary problem of its own with a
    sigmoid, in MONAI's order TC, WT, ET. The definitions are those of Menze et al. 2015, doi
    10.1109/TMI.2014.2377694.

    What takes torch and MONAI stands in `brain_tumor_model`, which loads when a method first needs it.
    """

    name: ClassVar[str] = "brain_tumor"
    title: ClassVar[str] = "Brain tumor segmentation"
    inputs: ClassVar[tuple[str, ...]] = ("t1", "t1ce", "t2", "flair")
    targets: ClassVar[tuple[Region, ...]] = (
        Region("tc", "Tumor core", frozenset({Tissue.NECROTIC_CORE, Tissue.ENHANCING})),
        Region("wt", "Whole tumor", frozenset({Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING})),
        Region("et", "Enhancing tumor", frozenset({Tissue.ENHANCING})),
    )
    settings_type: ClassVar[type[BrainTumorSettings]] = BrainTumorSettings
    evaluation: ClassVar[Evaluation] = SegmentationEvaluation(targets)

    def build_network(self, name: str) -> nn.Module:
        """Build `unet_small` (for CPU sites) or `segresnet` (16 filters, for GPU sites).

        Raises:
            ConfigurationError: If the task has no network of that name.
        """
        from consilium.tasks.brain_tumor import network as brain_tumor_model

        channels, regions = len(self.inputs), len(self.targets)
        if name == "unet_small":
            return brain_tumor_model.build_unet_small(channels, regions)
        if name == "segresnet":
            return brain_tumor_model.build_segresnet(channels, regions)
        raise ConfigurationError(f"task {self.name!r} has no network {name!r}; known: unet_small, segresnet")

    def build_loss(self) -> nn.Module:
        """Build Dice plus binary cross-entropy, each region on its own."""
        from consilium.tasks.brain_tumor import network as brain_tumor_model

        return brain_tumor_model.build_loss()

    def to_tissues(self, regions: Tensor) -> Tensor:
        """Turn boolean regions TC, WT, ET `(3, X, Y, Z)` into canonical tissues `(X, Y, Z)`, uint8.

        Where the three disagree the inner region wins: what enhances is tumor, whatever WT says.
        """
        from consilium.tasks.brain_tumor import network as brain_tumor_model

        return brain_tumor_model.to_tissues(regions)
