"""Weights of a network that are trained with differential privacy, and networks that can't be."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from consilium.errors import ConfigurationError


def check_network(network: nn.Module) -> None:
    """Check that a network's result for a patient depends on that patient alone.

    Raises:
        ConfigurationError: If a layer computes with other patients of a batch, or remembers them.
    """
    batch = {
        type(layer).__name__
        for layer in network.modules()
        if isinstance(layer, _NormBase) and "Instance" not in type(layer).__name__
    }
    remembered = sorted(name for name, _ in network.named_buffers())
    if batch or remembered:
        found = ", ".join(sorted(batch)) or ", ".join(remembered[:3])
        raise ConfigurationError(
            f"the network has {found}: statistics of several patients, which no noise hides; choose a "
            "network with instance or group normalization and without running statistics"
        )


def select_trainable(network: nn.Module, trainable: str, last_layers: int) -> list[nn.Parameter]:
    """Return the weights that are trained, in the network's order.

    Args:
        network: The network.
        trainable: `all`, those of the `last_layers`, or those of normalization layers, `norms`.
        last_layers: How many layers with weights are the last ones, in the order of their registration.

    Raises:
        ConfigurationError: If there is none.
    """
    layers = [layer for layer in network.modules() if list(layer.parameters(recurse=False))]
    if trainable == "last_layers":
        layers = layers[-last_layers:]
    elif trainable == "norms":
        layers = [one for one in layers if isinstance(one, nn.GroupNorm | nn.LayerNorm | _InstanceNorm)]
    chosen = {id(parameter) for layer in layers for parameter in layer.parameters(recurse=False)}
    trained = [parameter for parameter in network.parameters() if id(parameter) in chosen]
    if not trained:
        raise ConfigurationError(
            f"trainable: {trainable}, and the network's normalization has no weights; allowed: all, "
            "last_layers"
        )
    return trained
