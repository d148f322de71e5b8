"""Networks and loss of segmentations with overlapping regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from monai.losses import DiceLoss
from monai.networks.nets import SegResNet, UNet
from torch import Tensor, nn


def build_unet_small(channels: int, regions: int) -> nn.Module:
    """Build a U-Net that one CPU core trains.

    The first convolution already has stride 2, so nothing but the last layer works at full resolution.
    Instance norm keeps no statistics that could leak or drift.
    """
    network: nn.Module = UNet(
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


def build_segresnet(channels: int, regions: int) -> nn.Module:
    """Build the network of Myronenko 2018, arXiv:1810.11654, sized as in MONAI's brats_mri_segmentation."""
    network: nn.Module = SegResNet(
        spatial_dims=3,
        init_filters=16,
        in_channels=channels,
        out_channels=regions,
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
        dropout_prob=0.2,
    )
    return network


NETWORKS: Final[Mapping[str, Callable[[int, int], nn.Module]]] = {
    "unet_small": build_unet_small,
    "segresnet": build_segresnet,
}
"""Networks by name: channels and regions to a network."""


class RegionLoss(nn.Module):
    """Dice plus binary cross-entropy for overlapping regions.

    MONAI's `DiceCELoss` takes the softmax over channels, which makes regions compete that lie in one another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=1e-5, smooth_dr=1e-5)
        self._cross_entropy = nn.BCEWithLogitsLoss()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of region logits and region targets, both `(N, R, X, Y, Z)`."""
        loss: Tensor = self._dice(logits, target) + self._cross_entropy(logits, target)
        return loss
