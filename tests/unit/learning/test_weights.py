import numpy as np
import pytest
import torch
from torch import nn

from consilium.errors import TrainingError
from consilium.learning.network_state import (
    get_moments,
    get_weights,
    initial_weights,
    set_moments,
    set_weights,
)
from consilium.learning.weights import difference
from consilium.tasks import get_task
from learning.tiny import LEARNING


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3))


def spoiled(weights, how):
    changed = dict(weights)
    if how == "missing":
        del changed["0.weight"]
    elif how == "unknown":
        changed["2.weight"] = np.zeros(3)
    elif how == "shape":
        changed["0.bias"] = np.zeros(4, np.float32)
    else:
        changed["0.bias"] = np.full(3, float(how), np.float32)
    return {name: value if name == "0.bias" else value + 1 for name, value in changed.items()}


@pytest.mark.parametrize(
    ("how", "reported"),
    [
        ("missing", "missing 0.weight"),
        ("unknown", "unknown 2.weight"),
        ("shape", r"0.bias has shape \(4,\), not \(3,\)"),
        ("nan", "0.bias is not finite"),
        ("-inf", "0.bias is not finite"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_none_is_loaded(network, how, reported):
    before = get_weights(network)
    with pytest.raises(TrainingError, match=reported):
        set_weights(network, spoiled(before, how))
    after = get_weights(network)
    assert all(np.array_equal(after[name], value) for name, value in before.items())


def test_weights_travel_with_buffers_and_are_copies(network):
    weights = get_weights(network)
    assert {"1.running_mean", "1.num_batches_tracked"} <= set(weights)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    other = nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3))
    set_weights(other, weights)
    assert all(np.array_equal(value, weights[name]) for name, value in get_weights(other).items())
    assert not np.array_equal(weights["0.bias"], get_weights(network)["0.bias"])


def test_a_difference_added_to_the_old_gives_the_new():
    old, new = {"a": np.array([1.0, 2.0])}, {"a": np.array([1.5, -2.0])}
    change = difference(new, old)
    assert np.array_equal(change["a"], [0.5, -4.0])


def test_first_weights_depend_on_the_seed_alone():
    task = get_task("brain_tumor")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = initial_weights(task, LEARNING, 7)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws are disturbed
    torch.manual_seed(2)
    again, other = initial_weights(task, LEARNING, 7), initial_weights(task, LEARNING, 8)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_arrays_of_a_gpu_s_memory_layout_are_in_order():
    """Weights and moments of a channels-last network are so laid out; bytes are read by others in order."""
    network = nn.Conv3d(2, 3, 3).to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 2, 3, 3, 3)).sum().backward()
    optimizer.step()
    assert not optimizer.state[network.weight]["exp_avg"].is_contiguous()
    arrays = [*get_weights(network).values(), *get_moments(optimizer).values()]
    assert all(array.flags.c_contiguous for array in arrays)
    fresh = torch.optim.AdamW(network.parameters())
    set_moments(fresh, get_moments(optimizer))
    for key, value in optimizer.state[network.weight].items():
        assert torch.equal(fresh.state[network.weight][key], value)
