"""Whose turn it is in a cyclic job, as a site reads it."""

from pathlib import Path

import pytest

from consilium.errors import SiteRefusal
from consilium.learning.algorithms import parse_algorithm, site_dialogue
from consilium.learning.algorithms.dialogue import SitePlace

PLACE = SitePlace("north", "job", "job", trains=True, local=Path("local"), state=Path("state"))


@pytest.fixture
def dialogue():
    return site_dialogue(parse_algorithm({"name": "cyclic"}))


def test_a_site_trains_in_its_own_turn_only(dialogue):
    assert dialogue.trains_now({"turn": "north"}, PLACE)
    for other in ("south", "NORTH", "north ", "nor", "nobody-has-this-name"):
        assert not dialogue.trains_now({"turn": other}, PLACE)


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"turn": None},
        {"turn": ""},
        {"turn": True},
        {"turn": ["north"]},
        {"turn": {"north": True}},
        {"turn": "north", "turns": "south"},
        {"site": "north"},
    ],
    ids=str,
)
def test_a_task_that_names_no_single_site_is_declined(dialogue, forged):
    with pytest.raises(SiteRefusal, match="does not say whose turn it is"):
        dialogue.trains_now(forged, PLACE)


def test_with_other_algorithms_every_site_trains_in_every_round():
    fedavg = site_dialogue(parse_algorithm({"name": "fedavg"}))
    assert fedavg.trains_now({}, PLACE)
