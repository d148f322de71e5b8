"""Weights by the fall of the sites' losses."""

import numpy as np
import pytest

from consilium.errors import ConfigurationError
from consilium.federation.algorithms.base import RoundStart
from consilium.federation.updates.intake import Contribution
from consilium.learning.algorithms import parse_algorithm
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport

from .small_federation import server_half

CASES = {"north": 1, "south": 3}
W = {"w": np.zeros(2)}
FREE = {"max_site_share": 1.0}
PARTS = {"name": "fedpid", "last_drop": 0.4, "whole_drop": 0.2}


@pytest.fixture
def shares(tmp_path):
    """Makes a round of these losses; returns each site's share."""

    def shares(server, index, losses):
        (question,) = server.questions(RoundStart(index, W, tmp_path))
        for number, (site, loss) in enumerate(losses.items()):
            report = SiteReport(
                role="trains", train_cases=CASES[site], validation_cases=0, steps=4, loss=loss
            )
            update = {"w": np.full(2, 1.0 + index + number / 10)}
            question.aggregator.add(site, Contribution({MODEL: update}, report))
        aggregate = server.combine()
        server.step(W, aggregate)
        server.close()
        return aggregate.shares

    return shares


def server_of(algorithm=PARTS, **aggregation):
    server = server_half(algorithm, aggregation={**FREE, **aggregation})
    server.begin(W)
    return server


def test_shares_are_those_of_the_formula(shares):
    server = server_of()
    assert shares(server, 0, {"north": 1.0, "south": 1.0}) == pytest.approx({"north": 0.25, "south": 0.75})
    # falls of the round: 0.3 and 0.1, and the same since the first
    second = shares(server, 1, {"north": 0.7, "south": 0.9})
    assert second["north"] == pytest.approx(0.4 * 0.25 + 0.4 * 0.75 + 0.2 * 0.75)
    # of the round 0.1 and 0.3, since the first round 0.4 each
    third = shares(server, 2, {"north": 0.6, "south": 0.6})
    assert third["north"] == pytest.approx(0.4 * 0.25 + 0.4 * 0.25 + 0.2 * 0.5)
    assert sum(third.values()) == pytest.approx(1)


def test_a_loss_that_rises_is_no_fall_and_without_any_fall_cases_decide(shares):
    server = server_of()
    shares(server, 0, {"north": 0.5, "south": 0.5})
    risen = shares(server, 1, {"north": 0.9, "south": 0.4})
    assert risen["north"] == pytest.approx(0.4 * 0.25)
    assert shares(server_after_rise(shares), 1, {"north": 0.9, "south": 0.8}) == pytest.approx(
        {"north": 0.25, "south": 0.75}
    )


def server_after_rise(shares):
    server = server_of()
    shares(server, 0, {"north": 0.5, "south": 0.5})
    return server


def test_a_site_without_an_earlier_loss_is_weighed_by_cases(shares):
    server = server_of()
    shares(server, 0, {"north": 0.5})
    assert shares(server, 1, {"north": 0.5, "south": 2.0}) == pytest.approx({"north": 0.25, "south": 0.75})


def test_a_false_loss_gives_no_more_than_the_largest_share(shares):
    server = server_half(PARTS, aggregation={"max_site_share": 0.5})
    server.begin(W)
    shares(server, 0, {"north": 1e6, "south": 0.5})
    assert shares(server, 1, {"north": 0.0, "south": 0.5})["north"] <= 0.75  # of two sites


def test_losses_survive_a_restart(shares):
    server, whole = server_of(), server_of()
    for one in (server, whole):
        shares(one, 0, {"north": 1.0, "south": 1.0})
        shares(one, 1, {"north": 0.6, "south": 0.9})
    again = server_of()
    again.restore(server.state())
    losses = {"north": 0.5, "south": 0.5}
    assert shares(again, 2, losses) == shares(whole, 2, losses)


@pytest.mark.parametrize("rule", ["median", "trimmed_mean"])
def test_a_rule_without_weights_is_rejected(rule):
    with pytest.raises(ConfigurationError, match="allowed: mean, clipped_mean"):
        server_of(rule=rule)


def test_parts_of_more_than_one_are_rejected():
    with pytest.raises(ConfigurationError, match="together more than 1"):
        parse_algorithm({"name": "fedpid", "last_drop": 0.9, "whole_drop": 0.2})
