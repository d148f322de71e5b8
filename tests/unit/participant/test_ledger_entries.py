"""What is entered into the ledger beside payments: jobs without noise, and patients who withdrew."""

import pytest

from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.algorithms import DEFAULT_ALGORITHM
from consilium.learning.schedule import Schedule
from consilium.participant.privacy_payments import PrivacyPayments
from consilium.participant.register_files import read_register
from consilium.participant.site_data import SiteData
from consilium.privacy.ledger import LEDGER_FILE
from consilium.privacy.spending import group_patients
from participant.paying import (
    FIVE_ROUNDS,
    LEARNING,
    ROUND,
    OfPatient,
    ledger,
    payments,
    plain,
    refused,
)


def test_the_rounds_of_a_job_without_noise_are_entered_and_have_no_bound(hospital):
    site = hospital()
    plain(site).pay(Schedule(0, 5))
    plain(site).pay(Schedule(0, 5))
    payments(site, job="job-2", patients=("b", "c")).pay(Schedule(0, 5))
    content = ledger(site).read()
    assert [(one.job, one.attempt, one.mechanisms, one.delta) for one in content.entries] == [
        ("job-1", 1, (), None),
        ("job-1", 2, (), None),
        ("job-2", 1, (ROUND,), 1e-3),
    ]
    groups = group_patients(content)
    assert sorted((len(group.patients), group.bounded, group.mechanisms) for group in groups) == [
        (1, False, ()),  # a
        (1, False, (ROUND,)),  # b
        (1, True, (ROUND,)),  # c
    ]


def test_where_noise_hides_the_hospital_a_job_without_its_own_is_not_entered_by_patient(hospital):
    site = hospital()
    assert plain(site).pay(Schedule(0, 5), hidden=True) == Schedule(0, 5)
    assert ledger(site).read().entries == ()
    assert payments(site).pay(Schedule(0, 5), hidden=True).paid == (ROUND,)


def test_a_budget_is_of_jobs_with_noise(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    plain(site, patients=("a", "b", "c")).pay(Schedule(0, 5))
    for index in range(5):
        payments(site, job="job-2").pay(Schedule(index, 5))
    refused(lambda: payments(site, job="job-2").pay(Schedule(4, 5)))


def test_patients_who_withdrew_are_entered_once(hospital):
    site = hospital()
    payments(site).pay(Schedule(0, 5))

    def admit(*withdrawn: str) -> None:
        patients = {"a", "b", "c"} - set(withdrawn)
        data = SiteData(tuple(map(OfPatient, patients)), (), withdrawn=frozenset(withdrawn))  # type: ignore[arg-type]
        PrivacyPayments(site, data, LEARNING, DEFAULT_ALGORITHM, job="job-2", run="job-2").admit(5, left=5)

    admit()
    assert ledger(site).read().withdrawals == ()
    for withdrawn in (("a",), ("a",), ("a", "b"), ("b",)):
        admit(*withdrawn)
    content = ledger(site).read()
    names = read_register(site)
    assert [content.sets[one.patients] for one in content.withdrawals] == [
        {names.pseudonym("a")},
        {names.pseudonym("b")},
    ]
    assert len(content.entries) == 1
    assert len(content.hashes) == 5  # the start, the links of cases, a payment, two withdrawals


def test_a_damaged_ledger_lets_no_job_without_noise_train_either(hospital):
    site = hospital()
    plain(site).pay(Schedule(0, 5))
    (site.state_dir / LEDGER_FILE).write_bytes(b"nothing")
    with pytest.raises(SiteRefusal) as refusal:
        plain(site).pay(Schedule(1, 5))
    assert refusal.value.code is RefusalCode.PRIVACY_LEDGER
