"""Turns that failed, and hospitals that the final model learned nothing from."""

import pytest
from report.study import federation, site_report

from consilium.errors import RefusalCode
from consilium.records.federation import RoundRecord, SiteRound
from consilium.records.turns import list_missed_turns, note_missed_turn, sites_without_update

WAITED = SiteRound(outcome="evaluated", report=site_report("birch", steps=0, loss=None))
GONE = SiteRound(outcome="refused", reason="out of memory", code="failed")


def a_round(turn="birch", **sites):
    return RoundRecord(number=1, seconds=1.0, turn=turn, sites=sites)


def test_who_sends_updates_or_only_evaluates_lacks_none():
    assert sites_without_update(federation()) == []


def test_a_site_that_trains_and_only_ever_evaluated_has_none_in_the_model():
    record = federation()
    for one in record.rounds:
        one.sites["birch"] = WAITED
    assert sites_without_update(record) == ["birch"]


def test_an_update_in_a_round_that_was_dropped_is_none_in_the_model():
    record = federation()
    for one in record.rounds[1:]:
        one.sites["birch"] = WAITED
    assert sites_without_update(record) == []
    record.rounds[0].rolled_back = "its model is worse"
    assert sites_without_update(record) == ["birch"]


def test_a_site_that_is_absent_from_every_round_is_named_for_that_alone():
    record = federation()
    for one in record.rounds:
        one.sites["birch"] = GONE
    assert sites_without_update(record) == []


@pytest.mark.parametrize("status", ["failed", "running"])
def test_without_a_final_model_no_site_is_told_that_it_has_no_part_in_it(status):
    record = federation()
    record.rounds = record.rounds[:1]
    record.rounds[0].sites["birch"].weight = 0.0  # as in a round that never came to be combined
    assert sites_without_update(record) == ["birch"]
    record.status = status
    assert sites_without_update(record) == []


def test_a_round_in_which_all_train_has_no_turn_to_miss():
    record = a_round(turn=None, birch=GONE)
    note_missed_turn(record, "too few updates")
    assert record.missed_turns == {}


@pytest.mark.parametrize(
    ("sites", "reason", "code"),
    [
        ({"birch": GONE}, "out of memory", RefusalCode.FAILED),
        ({"birch": WAITED}, "it sent no update", RefusalCode.ANSWER),
        ({}, "it was not connected when the others were asked", RefusalCode.NOT_CONNECTED),
        (
            {"birch": SiteRound(outcome="trained", report=site_report("birch"))},
            "its update was not used: too few others",
            RefusalCode.NO_UPDATE,
        ),
    ],
)
def test_a_missed_turn_has_the_reason_of_the_attempt_that_failed(sites, reason, code):
    record = a_round(**sites)
    note_missed_turn(record, "too few others")
    missed = record.missed_turns["birch"]
    assert (missed.reason, missed.code, missed.report) == (reason, code, None)


def test_turns_missed_for_one_reason_are_one_entry():
    record = federation()
    for one in (record.rounds[0], record.rounds[2]):
        one.missed_turns = {"birch": GONE}
        one.sites["birch"] = WAITED
    record.rounds[1].missed_turns = {"cedar": GONE}
    record.rounds[1].sites["cedar"] = GONE  # it is absent from that round, which says enough
    (missed,) = list_missed_turns(record)
    assert (missed.site, missed.rounds, missed.reason) == ("birch", (1, 3), "out of memory")


def test_a_hospital_whose_second_try_in_the_same_round_succeeds_missed_no_turn():
    record = federation()
    record.rounds[0].missed_turns = {"birch": GONE}
    assert record.rounds[0].sites["birch"].outcome == "trained"
    assert list_missed_turns(record) == []
