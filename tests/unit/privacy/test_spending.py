import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.ledger_entry import LedgerContent, LedgerEntry, write_patients
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.spending import group_patients, largest_epsilon
from privacy.ledgers import ROUND, ledger, payment

patients = st.sets(st.sampled_from("abcdef"), min_size=1)
payments = st.lists(st.tuples(patients, st.sampled_from(["job-1", "job-2"])), max_size=8)


def content_of(paid: list[tuple[set[str], str]]) -> LedgerContent:
    sets = {write_patients(members)[1]: frozenset(members) for members, _ in paid}
    entries = [
        LedgerEntry(
            time="",
            job=job,
            run=job,
            round_index=number,
            attempt=1,
            mechanisms=(ROUND,),
            delta=1e-3,
            patients=write_patients(members)[1],
        )
        for number, (members, job) in enumerate(paid)
    ]
    return LedgerContent(entries, sets, "")


@given(payments)
def test_each_patient_is_in_one_group_and_has_spent_what_the_own_payments_cost(paid):
    groups = group_patients(content_of(paid))
    everybody = [patient for group in groups for patient in group.patients]
    assert sorted(everybody) == sorted(set().union(*(members for members, _ in paid)))
    for group in groups:
        for patient in group.patients:
            times = sum(patient in members for members, _ in paid)
            assert group.mechanisms == (ROUND.repeat(times),)


@given(payments, patients, st.sampled_from(["job-1", "job-2"]))
def test_only_payments_of_a_job_and_patients_that_are_asked_for_count(paid, among, job):
    content = content_of(paid)
    groups = group_patients(content, among=among, entries=content.of_training(job))
    assert sorted(patient for group in groups for patient in group.patients) == sorted(among)
    for group in groups:
        for patient in group.patients:
            steps = sum(one.steps for one in group.mechanisms)
            assert steps == 40 * sum(patient in members and job == of for members, of in paid)


@settings(max_examples=examples(5))
@given(payments, patients)
def test_no_payment_lets_a_patient_have_spent_less(paid, members):
    before = {
        patient: group.epsilon(1e-3)
        for group in group_patients(content_of(paid))
        for patient in group.patients
    }
    for group in group_patients(content_of([*paid, (members, "job-3")])):
        for patient in group.patients:
            if patient in members:
                assert group.epsilon(1e-3) > before.get(patient, 0.0)
            else:
                assert group.epsilon(1e-3) == before[patient]


def test_a_patient_who_joins_later_has_spent_less(tmp_path):
    one = ledger(tmp_path)
    one.pay(payment(0, "a", "b"))
    one.pay(payment(1, "a", "b", "c"))
    by_patient = {
        patient: group.epsilon(1e-3) for group in group_patients(one.read()) for patient in group.patients
    }
    assert by_patient["a"] == by_patient["b"] == pytest.approx(epsilon_spent([ROUND.repeat(2)], 1e-3))
    assert by_patient["c"] == pytest.approx(epsilon_spent([ROUND], 1e-3))


def test_the_largest_epsilon_is_that_of_the_patient_with_most_releases():
    groups = group_patients(content_of([({"a"}, "job-1"), ({"a", "b"}, "job-1")]))
    assert largest_epsilon(groups, 1e-3) == epsilon_spent([ROUND.repeat(2)], 1e-3)
    more = SampledGaussian(noise_multiplier=10.0)
    assert largest_epsilon(groups, 1e-3, more=[more]) == epsilon_spent([ROUND.repeat(2), more], 1e-3)
    assert largest_epsilon((), 1e-3) == 0
