"""Optimizers at the server, against the formulas of their papers."""

import math

import numpy as np
import pytest

from consilium.federation.updates.intake import Aggregate
from consilium.learning.weights import MODEL
from federation.rehearsal import Site, rehearse, saved

from .small_federation import server_half

CHANGES = (0.3, -0.2, 0.05, 0.4)
NAMES = ("fedavgm", "fedadam", "fedyogi")


def weights_after(algorithm, changes=CHANGES, start=1.0):
    """One weight in double precision after the steps of these changes."""
    server = server_half(algorithm)
    weights = {"w": np.full(1, start)}
    server.begin(weights)
    values = []
    for change in changes:
        weights = server.step(weights, Aggregate({MODEL: {"w": np.full(1, change)}}, {}))
        values.append(float(weights["w"][0]))
    return values


def test_momentum_is_that_of_the_paper():
    expected, momentum, w = [], 0.0, 1.0
    for change in CHANGES:
        momentum = 0.8 * momentum + change
        w += 0.5 * momentum
        expected.append(w)
    assert weights_after({"name": "fedavgm", "momentum": 0.8, "server_rate": 0.5}) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_the_adaptive_steps_are_those_of_the_paper(name):
    settings = {"server_rate": 0.1, "beta1": 0.7, "beta2": 0.6, "tau": 0.02}
    expected, m, v, w = [], 0.0, 0.02**2, 1.0
    for change in CHANGES:
        m = 0.7 * m + 0.3 * change
        if name == "fedadam":
            v = 0.6 * v + 0.4 * change**2
        else:
            v = v - 0.4 * change**2 * math.copysign(1, v - change**2)
        w += 0.1 * m / (math.sqrt(v) + 0.02)
        expected.append(w)
    assert weights_after({"name": name, **settings}) == pytest.approx(expected)


def test_yogi_forgets_a_large_change_more_slowly_than_adam():
    changes = (5.0, *[0.01] * 20)
    settings = {"beta1": 0.0, "beta2": 0.5, "server_rate": 0.1}
    adam, yogi = (weights_after({"name": name, **settings}, changes) for name in ("fedadam", "fedyogi"))
    assert yogi[-1] - yogi[-2] < 0.1 * (adam[-1] - adam[-2])


@pytest.mark.parametrize("name", NAMES)
def test_types_stay_and_statistics_of_a_normalization_are_averaged(name):
    weights = {
        "conv.weight": np.zeros(2, np.float32),
        "bn.running_var": np.ones(2, np.float32),
        "bn.num_batches_tracked": np.zeros((), np.int64),
    }
    change = {
        "conv.weight": np.ones(2, np.float32),
        "bn.running_var": np.full(2, -0.5, np.float32),
        "bn.num_batches_tracked": np.ones((), np.int64),
    }
    server = server_half({"name": name})
    server.begin(weights)
    stepped = weights
    for _ in range(2):
        stepped = server.step(stepped, Aggregate({MODEL: change}, {}))
    assert {key: value.dtype for key, value in stepped.items()} == {
        key: value.dtype for key, value in weights.items()
    }
    assert stepped["bn.running_var"].tolist() == [0.0, 0.0]
    assert int(stepped["bn.num_batches_tracked"]) == 2
    assert all(value.dtype == np.float32 for value in server.state().arrays.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_no_site_changes_stays_and_a_small_change_makes_a_small_step(name):
    assert weights_after({"name": name}, [0.0] * 3) == [1.0] * 3
    tiny = weights_after({"name": name}, [1e-9] * 3)
    assert 0 < tiny[-1] - 1 < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_a_round_that_is_rolled_back_takes_its_momentum_with_it(tmp_path, name):
    """Rounds 2 and 3 both step from the first model, with its momentum, and are dropped."""
    settings = {"name": name, **({"momentum": 0.9} if name == "fedavgm" else {"server_rate": 0.5})}
    (first,) = weights_after(settings, [2.0], start=0.0)

    def dice(w):
        return 0.9 if w < 1.2 * first else 0.0

    sites = {one: Site(step=2.0, dice=dice) for one in ("north", "south")}
    record, engine = rehearse(tmp_path, sites, algorithm=settings, rollback_margin=0.1)
    assert [bool(one.rolled_back) for one in record.rounds] == [False, True, True]
    assert saved(engine)[0] == pytest.approx(first)
    state = engine.components["training"]._plan.algorithm.state()
    once = server_half(settings)
    once.begin({"w": np.zeros(2)})
    once.step({"w": np.zeros(2)}, Aggregate({MODEL: {"w": np.full(2, 2.0)}}, {}))
    for key, value in once.state().arrays.items():
        np.testing.assert_allclose(state.arrays[key], value)
