"""Brain tumor segmentation on four-contrast MRI, as in the BraTS challenges."""

from __future__ import annotations

from typing import ClassVar

import torch
from monai.losses import DiceLoss
from monai.networks.nets import SegResNet, UNet
from torch import Tensor, nn

from consilium.data.labels import Tissue
from consilium.errors import ConfigurationError
from consilium.tasks.base import Region


class BrainTumor:
    """Segment the three nested regions of a glioma from T1, contrast-enhanced T1, T2 and FLAIR.

    Regions overlap (ET inside TC inside WT), so each output channel is a binary problem of its own with a
    sigmoid, in MONAI's order TC, WT, ET. The definitions are those of Menze et al. 2015, doi
    10.1109/TMI.2014.2377694.
    """

    name: ClassVar[str] = "brain_tumor"
    modalities: ClassVar[tuple[str, ...]] = ("t1", "t1ce", "t2", "flair")
    regions: ClassVar[tuple[Region, ...]] = (
        Region("tc", "Tumor core", frozenset({Tissue.NECROTIC_CORE, Tissue.ENHANCING})),
        Region("wt", "Whole tumor", frozenset({Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING})),
        Region("et", "Enhancing tumor", frozenset({Tissue.ENHANCING})),
    )
    networks: ClassVar[tuple[str, ...]] = ("unet_small", "segresnet")

    def build_network(self, name: str) -> nn.Module:
        """Build `unet_small` (for CPU sites) or `segresnet` (16 filters, for GPU sites).

        Raises:
            ConfigurationError: If the task has no network of that name.
        """
        channels, regions = len(self.modalities), len(self.regions)
        network: nn.Module
        if name == "unet_small":
            # The first convolution already has stride 2, so nothing but the last layer works at full
            # resolution: that is what makes it train on one CPU core. Instance norm keeps no statistics that
            # could leak or drift.
            network = UNet(
                spatial_dims=3,
                in_channels=channels,
                out_channels=regions,
                channels=(16, 32, 64, 128),
                strides=(2, 2, 2),
                num_res_units=0,
                act="LEAKYRELU",
                norm="INSTANCE",
            )
            return network
        if name == "segresnet":
            # The architecture of Myronenko 2018, arXiv:1810.11654, with the sizes of MONAI's
            # brats_mri_segmentation.
            network = SegResNet(
                spatial_dims=3,
                init_filters=16,
                in_channels=channels,
                out_channels=regions,
                blocks_down=(1, 2, 2, 4),
                blocks_up=(1, 1, 1),
                dropout_prob=0.2,
            )
            return network
        raise ConfigurationError(
            f"task {self.name!r} has no network {name!r}; known: {', '.join(self.networks)}"
        )

    def build_loss(self) -> nn.Module:
        """Build Dice plus binary cross-entropy, each region on its own."""
        return _RegionLoss()

    def to_tissues(self, regions: Tensor) -> Tensor:
        """Turn boolean regions TC, WT, ET `(3, X, Y, Z)` into canonical tissues `(X, Y, Z)`, uint8.

        Where the three disagree the inner region wins: what enhances is tumor, whatever WT says.
        """
        core, whole, enhancing = regions
        tissues = torch.zeros_like(core, dtype=torch.uint8)
        tissues[whole] = int(Tissue.EDEMA)
        tissues[core] = int(Tissue.NECROTIC_CORE)
        tissues[enhancing] = int(Tissue.ENHANCING)
        return tissues


class _RegionLoss(nn.Module):
    """Dice plus binary cross-entropy for overlapping regions.

    MONAI's `DiceCELoss` takes the softmax over channels, which makes regions compete that lie in one another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=1e-5, smooth_dr=1e-5)
        self._cross_entropy = nn.BCEWithLogitsLoss()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        loss: Tensor = self._dice(logits, target) + self._cross_entropy(logits, target)
        return loss
