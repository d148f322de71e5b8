"""FedNova's weights where sites take different numbers of steps."""

import math

import numpy as np
import pytest

from consilium.federation.algorithms.base import RoundStart
from consilium.federation.updates.intake import Contribution
from consilium.learning.schedule import Schedule
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport

from .small_federation import SETTINGS, server_half, train_rounds

EPOCHS = SETTINGS.model_copy(update={"local_steps": None, "local_epochs": 4.0})
CASES = {"north": 2, "south": 6, "west": 3}
W = {"w": np.zeros(2)}


def rates(cases, index=0):
    steps = EPOCHS.steps_per_round(cases)
    return [Schedule(index, 3).rate(EPOCHS, step, steps) for step in range(steps)]


def combined(updates, folder, name="fednova", **aggregation):
    """The model after a round of updates by site."""
    server = server_half({"name": name}, EPOCHS, aggregation={"max_site_share": 1.0, **aggregation})
    server.begin(W)
    (question,) = server.questions(RoundStart(0, W, folder))
    for site, update in updates.items():
        steps = EPOCHS.steps_per_round(CASES[site])
        report = SiteReport(role="trains", train_cases=CASES[site], validation_cases=0, steps=steps)
        question.aggregator.add(site, Contribution({MODEL: {"w": np.asarray(update, float)}}, report))
    aggregate = server.combine()
    server.close()
    return server.step(W, aggregate)["w"], aggregate.shares


def test_sites_weigh_by_their_patients_however_many_steps_they_take(tmp_path):
    """Each moves by its own direction times the rates of its steps; the model moves by the mean direction."""
    directions = {"north": [1.0, 0.0], "south": [0.0, 1.0], "west": [2.0, -1.0]}
    sums = {site: math.fsum(rates(cases)) for site, cases in CASES.items()}
    updates = {site: np.multiply(directions[site], sums[site]) for site in CASES}
    moved, shares = combined(updates, tmp_path)
    assert shares == pytest.approx({site: cases / 11 for site, cases in CASES.items()})
    mean = sum(shares[site] * np.asarray(directions[site]) for site in CASES)
    np.testing.assert_allclose(moved / np.linalg.norm(moved), mean / np.linalg.norm(mean))
    np.testing.assert_allclose(moved, sum(shares[site] * sums[site] for site in CASES) * mean)
    plain, _ = combined(updates, tmp_path, "fedavg")
    assert plain[1] > 1.5 * moved[1]  # south's steps count with its patients


def test_equal_directions_give_the_direction_and_the_mean_of_the_steps(tmp_path):
    sums = {site: math.fsum(rates(cases)) for site, cases in CASES.items()}
    moved, shares = combined({site: [sums[site], 0.0] for site in CASES}, tmp_path)
    assert moved[0] == pytest.approx(sum(shares[site] * sums[site] for site in CASES))


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "clipped_mean"])
def test_robust_rules_see_normalized_updates(tmp_path, rule):
    sums = {site: math.fsum(rates(cases)) for site, cases in CASES.items()}
    updates = {site: [sums[site], -2 * sums[site]] for site in CASES}
    moved, shares = combined(updates, tmp_path, rule=rule)
    mean = sum(shares[site] * sums[site] for site in CASES)
    np.testing.assert_allclose(moved, [mean, -2 * mean])  # all of the same length and direction


def test_hospitals_of_different_size_train_another_model_than_with_federated_averaging(sites, tmp_path):
    plain = train_rounds(sites, tmp_path / "plain", {"name": "fedavg"}, learning=EPOCHS)
    nova = train_rounds(sites, tmp_path / "nova", {"name": "fednova"}, learning=EPOCHS)
    assert [len(one) for one in plain.results.values()] == [3, 3]
    assert plain.results["south"][0].steps == 2 * plain.results["north"][0].steps
    assert not np.array_equal(plain.models[-1]["conv.weight"], nova.models[-1]["conv.weight"])
