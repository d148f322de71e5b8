"""Networks of segmentations, by the names that jobs give.

Their names are known without torch and MONAI, which load as a network is built: a process that reads or
checks a job builds none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn


def build_unet_small(channels: int, regions: int) -> nn.Module:
    """Build a U-Net that one CPU core trains, for sites without a GPU.

    The first convolution already has stride 2, so nothing but the last layer works at full resolution.
    Instance norm keeps no statistics that could leak or drift.
    """
    from monai.networks.nets import UNet

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
    """Build the network of Myronenko 2018, arXiv:1810.11654, for sites with a GPU.

    It is sized as in MONAI's bundles.
    """
    from monai.networks.nets import SegResNet

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
"""Networks by name: channels and regions to a network. A job may name each of them."""
