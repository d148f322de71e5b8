"""Networks of segmentations, by the names that jobs give.

Their names are known without torch and MONAI, which load as a network is built: a process that reads or
checks a job builds none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class MonaiNetwork:
    """A network of MONAI with fixed arguments.

    Args:
        kind: Its class in `monai.networks.nets`.
        arguments: All but the channels.
        has_affine: Whether its normalization has affine parameters.

    Example:
        >>> UNET_SMALL.definition(4, 3)["_target_"]
        'UNet'
    """

    kind: str
    arguments: Mapping[str, Any]
    has_affine: bool = True

    def __call__(self, channels: int, regions: int) -> nn.Module:
        """Build the network, randomly initialized."""
        from monai.networks import nets

        build: Callable[..., nn.Module] = getattr(nets, self.kind)
        return build(in_channels=channels, out_channels=regions, **self.arguments)

    def definition(self, channels: int, regions: int) -> dict[str, Any]:
        """Return the network as the configuration of a MONAI bundle has it."""
        sized = {"in_channels": channels, "out_channels": regions}
        plain = {name: list(one) if isinstance(one, tuple) else one for name, one in self.arguments.items()}
        return {"_target_": self.kind, **sized, **plain}


UNET_SMALL: Final = MonaiNetwork(
    "UNet",
    {
        "spatial_dims": 3,
        "channels": (16, 32, 64, 128),
        "strides": (2, 2, 2),
        "num_res_units": 0,
        "act": "LEAKYRELU",
        "norm": "INSTANCE",
    },
    has_affine=False,
)
"""A U-Net that one CPU core trains, for sites without a GPU.

The first convolution already has stride 2, so nothing but the last layer works at full resolution. Instance
norm keeps no statistics that could leak or drift.
"""

SEGRESNET: Final = MonaiNetwork(
    "SegResNet",
    {
        "spatial_dims": 3,
        "init_filters": 16,
        "blocks_down": (1, 2, 2, 4),
        "blocks_up": (1, 1, 1),
        "dropout_prob": 0.2,
    },
)
"""The network of Myronenko 2018, arXiv:1810.11654, for sites with a GPU; sized as in MONAI's bundles."""

NETWORKS: Final[Mapping[str, Callable[[int, int], nn.Module]]] = {
    "unet_small": UNET_SMALL,
    "segresnet": SEGRESNET,
}
"""Networks by name: channels and regions to a network. A job may name each of them."""
