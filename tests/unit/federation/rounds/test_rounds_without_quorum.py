"""Rounds in which too few sites send an update: another attempt, or the end of the job."""

from consilium.federation.message_names import (
    TRAIN,
)
from federation.rehearsal import ONE_ATTEMPT, Site, panics, saved
from federation.troubled_sites import Attacker, Recovering, Refusing


def test_a_site_that_declines_costs_the_others_nothing_and_is_asked_again(run):
    east = Refusing(rounds=[0, 1])
    record, engine = run({"north": Site(), "south": Site(), "east": east})
    assert record.status == "finished"
    outcomes = [one.sites["east"].outcome for one in record.rounds]
    assert outcomes == ["refused", "refused", "trained"]
    assert record.rounds[0].sites["east"].reason == "no usable labeled case: 2 left out"
    assert saved(engine)[0] == 3
    assert not panics(engine)


def test_too_few_updates_end_the_job_with_every_site_s_reason(run):
    sites = {
        "north": Site(),
        "south": Refusing([0], reason="DataError: the reason is in the site's log"),
        "east": Refusing([0], reason="no usable labeled case: 2 left out"),
        "clinic": Site(step=None),
        "west": lambda task, model: None,
    }
    record, engine = run(sites)
    assert record.status == "failed"
    assert record.reason == (
        "round 1 has 1 update, and min_sites is 2; clinic: it only evaluates; "
        "east: no usable labeled case: 2 left out; south: DataError: the reason is in the site's log; "
        "west: it had not answered when the round was closed"
    )
    assert panics(engine) == [record.reason]
    assert len(record.rounds) == 1


def test_a_round_without_a_quorum_is_tried_again(run):
    north = Site()
    patience = {"attempts": 3, "backoff_seconds": 0}
    record, engine = run({"north": north, "south": Recovering(2)}, rounds=2, quorum=patience)
    assert record.status == "finished"
    assert [(one.number, one.attempts) for one in record.rounds] == [(1, 3), (2, 1)]
    assert saved(engine) == (2, 2)  # updates of failed attempts are in no model
    assert [task for task, _ in north.seen].count(TRAIN) == 4


def test_a_round_is_not_tried_for_ever(run):
    patience = {"attempts": 3, "backoff_seconds": 0}
    record, engine = run({"north": Site(), "south": Recovering(3)}, rounds=2, quorum=patience)
    assert record.status == "failed"
    assert record.reason == "round 1 has 1 update, and min_sites is 2; south: out of memory"
    assert panics(engine) == [record.reason]


def test_a_mandatory_site_is_missed(run):
    sites = {"north": Site(), "south": Site(), "east": Refusing([0], reason="out of memory")}
    record, _ = run(sites, quorum={**ONE_ATTEMPT, "mandatory_sites": ["east"]})
    assert record.reason == "round 1 has 2 updates, without mandatory east; east: out of memory"


def test_the_largest_hospital_s_patients_are_missed(run):
    large = Refusing([0])
    large.cases = 8
    quorum = {**ONE_ATTEMPT, "min_case_share": 0.5}
    record, _ = run({"north": Site(), "south": Site(), "large": large}, quorum=quorum)
    assert record.reason.startswith(
        "round 1 has 2 updates, with 20% of the training cases, and min_case_share is 50%; large: "
    )


def test_an_excluded_site_is_absent_for_the_quorum(run):
    quorum = {"attempts": 1, "mandatory_sites": ["evil"]}
    record, _ = run({"evil": Attacker(10), "north": Site(), "south": Site()}, quorum=quorum)
    assert record.reason.startswith("round 1 has 2 updates, without mandatory evil; evil: its update is")


def test_a_job_whose_sites_are_all_excluded_ends(run):
    sites = {"north": Attacker(float("nan")), "south": Attacker(float("nan"))}
    record, _ = run(sites, quorum={"attempts": 4, "backoff_seconds": 0})
    assert record.status == "failed"
    assert record.reason.startswith("round 1 has 0 updates, and min_sites is 2; north: excluded")
