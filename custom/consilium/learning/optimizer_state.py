"""An optimizer's moments as named arrays, and back."""

from __future__ import annotations

import numpy as np
import torch

from consilium.learning.weights import Weights


def get_moments(optimizer: torch.optim.Optimizer) -> Weights:
    """Copy an optimizer's state of each parameter to the CPU, named `parameter/key`."""
    return {
        f"{parameter}/{key}": np.array(value.detach().cpu().numpy())  # the step writes into its tensors
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
