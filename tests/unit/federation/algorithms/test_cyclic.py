"""The order of the turns, and the model after each."""

import numpy as np
import pytest

from consilium.errors import ConfigurationError
from consilium.federation.algorithms.base import RoundStart
from consilium.federation.updates.intake import Contribution
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport

from .small_federation import server_half, train_rounds

SITES = ("north", "south", "west")
W = {"w": np.array([1.0, -1.0], np.float32), "steps": np.array([3])}
UPDATE = {"w": np.array([0.1, 0.7], np.float32), "steps": np.array([2])}


@pytest.fixture
def ask(tmp_path):
    """The question of a round to these sites, and the server's half."""

    def ask(index, attempt=1, trainers=SITES, known=(), **aggregation):
        server = server_half({"name": "cyclic"}, aggregation=aggregation)
        server.begin(W)
        start = RoundStart(index, W, tmp_path, attempt=attempt, trainers=trainers, known_trainers=known)
        (question,) = server.questions(start)
        return server, question

    return ask


def contribution(update=UPDATE):
    return Contribution(
        {MODEL: update}, SiteReport(role="trains", train_cases=2, validation_cases=0, steps=4)
    )


def test_hospitals_take_turns_by_name_and_the_site_is_told(ask):
    turns = [ask(index, trainers=("west", "north", "south"))[1] for index in range(7)]
    assert [one.turn for one in turns] == [*SITES, *SITES, "north"]
    assert [one.content for one in turns] == [{"turn": one.turn} for one in turns]


def test_another_attempt_is_the_next_hospital_s_turn(ask):
    assert [ask(1, attempt)[1].turn for attempt in (1, 2, 3, 4)] == ["south", "west", "north", "south"]


def test_hospitals_that_are_left_share_the_turns(ask):
    left = ("north", "west")
    assert [ask(index, trainers=left)[1].turn for index in range(4)] == ["north", "west"] * 2


@pytest.mark.parametrize("gone", SITES)
@pytest.mark.parametrize("when", range(3))
def test_a_hospital_that_is_away_for_a_round_costs_no_other_its_turn(ask, gone, when):
    turns = []
    for index in range(3):
        present = [site for site in SITES if (index, site) != (when, gone)]
        turns.append(ask(index, trainers=present, known=SITES)[1].turn)
    assert {*SITES} - {*turns} <= {gone}


def test_without_a_hospital_that_trains_there_is_no_round(ask):
    with pytest.raises(RejectedUpdate, match="no hospital that trains is connected"):
        ask(0, trainers=())


def test_the_model_becomes_that_of_the_hospital_whose_turn_it_is_bit_for_bit(ask):
    server, question = ask(2)
    question.aggregator.add("west", contribution())
    assert question.aggregator.screen() == {}
    aggregate = server.combine()
    assert aggregate.shares == {"west": 1.0}
    after = server.step(W, aggregate)
    for name, value in W.items():
        assert after[name].dtype == value.dtype
        np.testing.assert_array_equal(after[name], value + UPDATE[name])


def test_the_update_of_another_hospital_is_rejected(ask):
    server, question = ask(0)
    with pytest.raises(RejectedUpdate, match="it is the turn of north"):
        question.aggregator.add("south", contribution())
    with pytest.raises(RejectedUpdate, match="no site sent an update"):
        server.combine()


@pytest.mark.parametrize(
    "update",
    [
        {"w": UPDATE["w"]},
        {**UPDATE, "w": np.full(2, np.nan, np.float32)},
        {"w": np.zeros(2, np.float32), "steps": np.array([0])},
    ],
    ids=["a weight is missing", "not a number", "nothing changes"],
)
def test_the_update_is_screened_as_any_other(ask, update):
    _, question = ask(0)
    with pytest.raises(RejectedUpdate):
        question.aggregator.add("north", contribution(update))


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "clipped_mean"])
def test_a_rule_for_several_updates_is_rejected(ask, rule):
    with pytest.raises(ConfigurationError, match="allowed: mean"):
        ask(0, rule=rule)


def test_each_round_has_one_hospital_s_update(sites, tmp_path):
    done = train_rounds(sites, tmp_path, {"name": "cyclic"}, rounds=5)
    assert {site: len(sent) for site, sent in done.sent.items()} == {"north": 3, "south": 2}
    first, second = done.models[0], done.models[1]
    update = done.sent["north"][0][MODEL]
    for name, value in second.items():
        np.testing.assert_array_equal(value, first[name] + update[name])
