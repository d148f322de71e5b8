"""Patients whose ids a hospital changes between jobs: what they have spent stays theirs."""

import pytest

from consilium.learning.algorithms import DEFAULT_ALGORITHM
from consilium.learning.schedule import Schedule
from consilium.participant.ledger_summary import summarize_ledger
from consilium.participant.privacy_payments import PrivacyPayments
from consilium.participant.site_data import SiteData
from consilium.privacy.accounting import epsilon_spent
from participant.paying import (
    DELTA,
    FIVE_ROUNDS,
    LEARNING,
    ROUND,
    OfPatient,
    PrivateToySettings,
    cost,
    ledger,
    refused,
)


def job_on(site, cases, job, algorithm=None) -> PrivacyPayments:
    """A job whose training cases are given with their patients."""
    data = SiteData(tuple(OfPatient(patient, case) for case, patient in cases.items()), ())  # type: ignore[arg-type]
    return PrivacyPayments(site, data, LEARNING, algorithm or PrivateToySettings(), job=job, run=job)


def train(site, cases, job, rounds=5) -> None:
    for index in range(rounds):
        job_on(site, cases, job).pay(Schedule(index, 5))


def test_a_patient_with_another_id_has_spent_what_the_patient_had_spent(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    train(site, {"scan-1": "a", "scan-2": "b"}, "job-1")
    renamed = job_on(site, {"scan-1": "patient 7", "scan-2": "b"}, "job-2")
    reason = refused(lambda: renamed.admit(1, left=1))
    assert f"spent {cost(5):.4g}, then {cost(6):.4g}" in reason
    refused(lambda: renamed.pay(Schedule(0, 1)))
    assert len(ledger(site).read().entries) == 5


def test_a_patient_is_recognized_by_any_case_and_by_the_id(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    train(site, {"scan-1": "a"}, "job-1", rounds=2)
    train(site, {"scan-1": "a", "scan-2": "a"}, "job-2", rounds=2)
    train(site, {"scan-2": "p"}, "job-3", rounds=1)
    for cases in ({"scan-2": "q"}, {"scan-1": "q"}, {"scan-9": "a"}, {"scan-9": "p"}):
        refused(lambda cases=cases: job_on(site, cases, "job-4").admit(1, left=1))
    job_on(site, {"scan-9": "q"}, "job-4").admit(5, left=5)


def test_two_patients_who_turn_out_to_be_one_were_in_each_round_twice(hospital):
    """Each of them changed a step by up to the clip: together twice as much."""
    site = hospital(epsilon=1e4)
    train(site, {"scan-1": "a", "scan-2": "b", "scan-3": "c"}, "job-1")
    twice = epsilon_spent([ROUND.of_several(2).repeat(5)], DELTA)
    assert twice > 2 * cost(5)
    assert summarize_ledger(site).epsilon == pytest.approx(cost(5))
    train(site, {"scan-1": "ab", "scan-2": "ab", "scan-3": "c"}, "job-2", rounds=1)
    summary = summarize_ledger(site)
    assert summary.patients == 2
    assert summary.epsilon == pytest.approx(
        epsilon_spent([ROUND.of_several(2).repeat(5), ROUND], DELTA), rel=0.01
    )


def test_what_a_job_without_noise_reveals_stays_with_a_renamed_patient(hospital):
    site = hospital()
    job_on(site, {"scan-1": "a"}, "job-1", DEFAULT_ALGORITHM).pay(Schedule(0, 1))
    train(site, {"scan-1": "b"}, "job-2", rounds=1)
    summary = summarize_ledger(site)
    assert (summary.patients, summary.unbounded) == (1, 1)


def test_cases_are_entered_once_and_by_no_name(hospital):
    site = hospital()
    train(site, {"Doe-2019": "Jane Doe"}, "job-1", rounds=3)
    content = ledger(site).read()
    assert [type(one).__name__ for one in content.events] == ["CaseLinks", *["LedgerEntry"] * 3]
    assert len(content.links) == 1
    assert not any(b"Doe" in path.read_bytes() for path in site.state_dir.iterdir())


def test_a_patient_who_withdrew_and_is_trained_on_under_another_id_is_shown(hospital):
    """The list has the former id, which no case has any more."""
    site = hospital()
    train(site, {"scan-1": "a", "scan-2": "b"}, "job-1", rounds=1)
    without = SiteData((OfPatient("b", "scan-2"),), (), withdrawn=frozenset({"a"}))  # type: ignore[arg-type]
    PrivacyPayments(site, without, LEARNING, PrivateToySettings(), job="job-2", run="job-2").admit(1, left=1)
    (note,) = summarize_ledger(site).withdrawals
    assert (note.patients, note.spent, note.again) == (1, 1, 0)
    train(site, {"scan-1": "p", "scan-2": "b"}, "job-3", rounds=1)
    (note,) = summarize_ledger(site).withdrawals
    assert (note.patients, note.spent, note.again) == (1, 1, 1)
