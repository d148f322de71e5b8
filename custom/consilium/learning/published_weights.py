"""Conversion of published weights, a PyTorch state dict, to those of a task's network."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.errors import ConfigurationError, DataError
from consilium.tasks import LearningSettings, Task
from consilium.tasks.pretrained import PublishedWeights

PUBLISHED_ENDINGS: Final = (".pt", ".pth")

_WRAPPERS: Final = ("state_dict", "model")
"""Keys under which some programs put a state dict."""

_MOST_NAME: Final = 80

_DAMAGED: Final = (
    *(OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, struct.error),
    *(LookupError, TypeError, AttributeError, OverflowError, MemoryError, AssertionError),
)
"""What PyTorch raises for a file that it can't read, as chance has it."""


def convert_published(
    path: Path, task: Task, learning: LearningSettings
) -> tuple[PublishedWeights, dict[str, NDArray[Any]]]:
    """Read published weights, and bring their channels into the task's order.

    Nothing in the file is run: PyTorch reads it with `weights_only`, and names and shapes have to be those of
    the network.

    Args:
        path: The state dict.
        task: What is learned.
        learning: The job's settings.

    Returns:
        What the weights are, and their arrays by the names of the task's network.

    Raises:
        ConfigurationError: The task knows no published weights of the job's network.
        DataError: The file can't be read, or holds other weights.
    """
    published = _find(path, task, learning)
    state = _read(path)
    expected = task.method.build_network(learning).state_dict()
    problems = [f"missing {name}" for name in expected.keys() - state.keys()]
    problems += [f"unknown {str(name)[:_MOST_NAME]!r}" for name in state.keys() - expected.keys()]
    weights: dict[str, NDArray[Any]] = {}
    for name in expected.keys() & state.keys():
        value, wanted = state[name], expected[name]
        if isinstance(value, torch.Tensor) and (value.is_nested or value.is_quantized):  # some have no shape
            problems.append(f"{name} holds no plain numbers, but is nested or quantized")
            continue
        if not isinstance(value, torch.Tensor) or value.shape != wanted.shape:
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            problems.append(f"{name} is {shape}, not {tuple(wanted.shape)}")
            continue
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_complex():
            kind = "complex" if value.is_complex() else f"{value.layout} on {value.device}"
            problems.append(f"{name} holds no plain numbers, but is {kind}")
            continue
        weights[name] = value.detach().to(wanted.dtype).numpy()
        if not np.isfinite(weights[name]).all():
            problems.append(f"{name} is not finite")
    if problems:
        raise DataError(
            f"{path} does not hold {published.name}: {counted(len(problems), 'problem')}: "
            + "; ".join(sorted(problems)[:5])
        )
    inputs = [published.inputs.index(name) for name in task.inputs]
    targets = [published.targets.index(one.name) for one in task.targets]
    weights[published.first] = np.ascontiguousarray(weights[published.first][:, inputs])
    for name in published.last:
        weights[name] = np.ascontiguousarray(weights[name][targets])
    return published, {name: weights[name] for name in expected}


def _find(path: Path, task: Task, learning: LearningSettings) -> PublishedWeights:
    fitting = [one for one in task.pretrained if one.network == learning.network]
    if not fitting:
        known = "; ".join(f"{one.name} fits learning.network={one.network}" for one in task.pretrained)
        raise ConfigurationError(
            f"{path} can't start a job with network {learning.network!r} of task {task.name}: "
            + (known or "the task knows no published weights")
        )
    return fitting[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is not a state dict that can be read without running code: {reason}"
        ) from None
    for key in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise DataError(f"{path} holds no state dict, but a {type(found).__name__}")
    return dict(found)
