"""A network's weights and its optimizer's moments as named arrays: read, set and initialized."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from consilium.counts import counted
from consilium.errors import TrainingError
from consilium.learning.weights import Weights
from consilium.tasks import LearningSettings, Task


def get_weights(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Copy a network's weights and buffers to the CPU."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def set_weights(network: nn.Module, weights: Weights) -> None:
    """Load weights into a network, which must have exactly these names and shapes.

    Raises:
        TrainingError: If names or shapes differ, or a value is not finite. Nothing is loaded then.
    """
    expected = network.state_dict()
    problems = [f"missing {name}" for name in expected.keys() - weights.keys()]
    problems += [f"unknown {name}" for name in weights.keys() - expected.keys()]
    for name in expected.keys() & weights.keys():
        if tuple(weights[name].shape) != tuple(expected[name].shape):
            problems.append(f"{name} has shape {weights[name].shape}, not {tuple(expected[name].shape)}")
        elif not np.isfinite(weights[name]).all():
            problems.append(f"{name} is not finite")
    if problems:
        shown = "; ".join(sorted(problems)[:5])
        raise TrainingError(
            f"the weights do not fit the network: {counted(len(problems), 'problem')}: {shown}"
        )
    network.load_state_dict({name: torch.as_tensor(np.asarray(weights[name])) for name in expected})


def initial_weights(task: Task, settings: LearningSettings, seed: int) -> dict[str, NDArray[Any]]:
    """Draw a network's first weights: the same for the same seed, whatever else the process has drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_weights(task.method.build_network(settings))


def get_moments(optimizer: torch.optim.Optimizer) -> Weights:
    """Copy an optimizer's state of each parameter to the CPU, named `parameter/key`."""
    return {
        # A copy, as the step writes into its tensors; in order, as a GPU's may be channels-last.
        f"{parameter}/{key}": np.array(value.detach().cpu().numpy(), order="C")
        for parameter, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if value is not None  # SGD's momentum before its first step
    }


def set_moments(optimizer: torch.optim.Optimizer, moments: Weights) -> None:
    """Give an optimizer the state that `get_moments` read from another over the same parameters."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in moments.items():
        parameter, _, key = name.partition("/")
        state.setdefault(int(parameter), {})[key] = torch.from_numpy(np.array(value))
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
