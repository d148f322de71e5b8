"""Which settings make an algorithm federated averaging, and that each of them survives a restart."""

import numpy as np
import pytest

from consilium.learning.algorithms import ALGORITHMS

from .small_federation import SETTINGS, train_rounds

AVERAGING = {"name": "fedavg"}
ALONE = [
    name
    for name, parts in ALGORITHMS.items()
    if name != "dp_sgd" and not parts.settings.declaration.questions
]
"""Those whose halves need nothing else: no budget of the site, and no keys of the others."""


def same(first, second):
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and first[name].tobytes() == second[name].tobytes()
        for name in first
    )


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "fedprox", "mu": 0.0},
        {"name": "fedavgm", "momentum": 0.0, "server_rate": 1.0},
        {"name": "fedpid", "last_drop": 0.0, "whole_drop": 0.0},
        {"name": "ditto"},  # its personal models are no part of the global one
        {"name": "fednova"},  # all sites take the same steps
    ],
    ids=lambda one: one["name"],
)
def test_with_neutral_settings_it_is_federated_averaging_bit_for_bit(sites, tmp_path, algorithm):
    plain = train_rounds(sites, tmp_path / "plain", AVERAGING)
    other = train_rounds(sites, tmp_path / "other", algorithm)
    assert all(same(one, two) for one, two in zip(plain.models, other.models, strict=True))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "fedprox", "mu": 1.0},
        {"name": "fedavgm"},
        {"name": "fedadam"},
        {"name": "fedyogi"},
    ],
    ids=lambda one: one["name"],
)
def test_otherwise_it_gives_another_model(sites, tmp_path, algorithm):
    plain = train_rounds(sites, tmp_path / "plain", AVERAGING)
    other = train_rounds(sites, tmp_path / "other", algorithm)
    assert not same(plain.models[-1], other.models[-1])


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("name", ALONE)
def test_both_halves_continue_after_a_restart_as_if_there_had_been_none(sites, tmp_path, name):
    whole = train_rounds(sites, tmp_path / "a", {"name": name})
    again = train_rounds(sites, tmp_path / "b", {"name": name}, restart=True)
    assert same(whole.models[-1], again.models[-1])
    first, second = whole.server.state(), again.server.state()
    assert first.values == second.values
    assert same(first.arrays, second.arrays)
    assert np.isfinite(np.concatenate([value.ravel() for value in whole.models[-1].values()])).all()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=() if one in ("fedavg", "fedadam") else pytest.mark.long) for one in ALONE],
)
def test_every_algorithm_lowers_the_loss(sites, tmp_path, name):
    learning = SETTINGS.model_copy(update={"local_steps": 10})
    algorithm = {"name": name, **({"server_rate": 0.3} if name in ("fedadam", "fedyogi") else {})}
    done = train_rounds(sites, tmp_path, algorithm, learning=learning, rounds=6)
    for results in done.results.values():
        assert results[-1].loss < results[0].loss
