import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_private import PrivateToySettings

from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.learning.algorithms import DEFAULT_ALGORITHM
from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings
from consilium.learning.schedule import Schedule
from consilium.participant.privacy_payments import PrivacyPayments, require_offer
from consilium.participant.site_data import SiteData
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.ledger import LEDGER_FILE
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from participant.paying import (
    FIVE_ROUNDS,
    ROUND,
    OfPatient,
    cost,
    ledger,
    payments,
    plain,
    refused,
)


def test_a_round_is_paid_for_all_its_patients_before_it_can_begin(hospital):
    site = hospital()
    schedule = payments(site).pay(Schedule(2, 5))
    assert (schedule.round_index, schedule.rounds, schedule.paid) == (2, 5, (ROUND,))
    content = ledger(site).read()
    (entry,) = content.entries
    assert (entry.job, entry.round_index, entry.attempt, entry.mechanisms) == ("job-1", 2, 1, (ROUND,))
    assert len(content.sets[entry.patients]) == 3


def test_the_ledger_names_no_patient(hospital):
    site = hospital()
    payments(site, patients=("Doe-Jane-1931", "Roe-Richard-1950")).pay(Schedule(0, 5))
    for path in site.state_dir.iterdir():
        assert b"Doe" not in path.read_bytes()
        assert b"1950" not in path.read_bytes()


def test_a_site_that_trains_on_nobody_makes_no_ledger(hospital):
    site = hospital()
    for job in (plain(site, patients=()), payments(site, patients=())):
        job.admit(10, left=10)
        assert job.pay(Schedule(0, 10)) == Schedule(0, 10)
    assert not (site.state_dir / LEDGER_FILE).exists()


def test_a_site_with_budget_for_five_rounds_stops_in_the_sixth(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    job = payments(site)
    job.admit(5, left=5)
    for index in range(5):
        job.pay(Schedule(index, 6))
    reason = refused(lambda: job.pay(Schedule(5, 6)))
    assert reason == (
        f"this would pass a patient's privacy budget here, with this round: allowed {FIVE_ROUNDS:g}, spent "
        f"{cost(5):.4g}, then {cost(6):.4g} (delta 0.0001)"
    )
    assert len(ledger(site).read().entries) == 5


def test_two_jobs_that_run_at_once_share_one_budget(hospital):
    """Each was admitted when the other had not paid."""
    site = hospital(epsilon=FIVE_ROUNDS)
    jobs = [payments(site, job=name) for name in ("job-1", "a copy of it")]
    for job in jobs:
        job.admit(4, left=4)
    for index in range(2):
        for job in jobs:
            job.pay(Schedule(index, 4))
    jobs[0].pay(Schedule(2, 4))
    for job in jobs:
        refused(lambda job=job: job.pay(Schedule(2, 4)))
    assert len(ledger(site).read().entries) == 5


def test_a_new_job_and_a_new_process_do_not_make_it_forget(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    for index in range(5):
        payments(site, job=f"job-{index}").pay(Schedule(0, 1))
    for job in ("job-0", "job-9"):
        assert "this round" in refused(lambda job=job: payments(site, job=job).pay(Schedule(0, 1)))


def test_a_round_that_is_repeated_takes_the_place_of_a_later_one(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    for _ in range(3):
        payments(site).pay(Schedule(0, 5))
    payments(site).pay(Schedule(1, 5))
    payments(site).pay(Schedule(2, 5))
    refused(lambda: payments(site).pay(Schedule(3, 5)))


def test_a_job_whose_whole_plan_passes_the_budget_is_refused_with_the_numbers(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    payments(site).admit(5, left=5)
    reason = refused(lambda: payments(site).admit(6, left=6))
    assert f"with 6 rounds: allowed {FIVE_ROUNDS:g}, spent 0, then {cost(6):.4g}" in reason
    payments(site, job="job-0").pay(Schedule(0, 5))
    assert f"spent {cost(1):.4g}, then {cost(6):.4g}" in refused(lambda: payments(site).admit(5, left=5))
    payments(site).admit(5, left=4)


def test_one_patient_without_budget_is_enough_and_others_have_theirs(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    for index in range(5):
        payments(site, patients=("a",)).pay(Schedule(index, 5))
    refused(lambda: payments(site, job="job-2").pay(Schedule(0, 5)))
    payments(site, job="job-2", patients=("b", "c")).admit(5, left=5)


def test_one_job_may_not_spend_more_than_the_hospital_allows_a_job(hospital):
    site = hospital(job_epsilon=FIVE_ROUNDS)
    for index in range(5):
        payments(site).pay(Schedule(index, 5))
    assert "the epsilon that it allows a job" in refused(lambda: payments(site).pay(Schedule(4, 5)))
    payments(site, job="job-2").pay(Schedule(0, 5))


def test_a_resumed_job_has_spent_what_it_had_spent_before(hospital):
    site = hospital(job_epsilon=FIVE_ROUNDS)
    for index in range(3):
        payments(site).pay(Schedule(index, 5))
    resumed = payments(site, job="job-2", run="job-1")
    resumed.admit(5, left=1)
    for index in (2, 3):
        resumed.pay(Schedule(index, 5))
    for job, run in (("job-2", "job-1"), ("job-3", "job-1"), ("job-1", "job-1")):
        assert "allows a job" in refused(
            lambda job=job, run=run: payments(site, job, run=run).pay(Schedule(4, 5))
        )
    payments(site, job="job-4").pay(Schedule(0, 5))


def test_a_server_that_calls_a_resumed_job_a_new_one_later_does_not_make_it_forget(hospital):
    site = hospital(job_epsilon=FIVE_ROUNDS)
    for index in range(3):
        payments(site).pay(Schedule(index, 5))
    for index in (3, 4):
        payments(site, job="job-2", run="job-1").pay(Schedule(index, 5))
    for run in ("job-2", "job-7"):
        refused(lambda run=run: payments(site, job="job-2", run=run).pay(Schedule(0, 5)))


def test_the_attempts_at_a_round_are_counted_over_the_jobs_that_resume_it(hospital):
    site = hospital()
    payments(site).pay(Schedule(0, 5))
    payments(site, job="job-2", run="job-1").pay(Schedule(0, 5))
    payments(site, job="job-3").pay(Schedule(0, 5))
    assert [(one.job, one.run, one.attempt) for one in ledger(site).read().entries] == [
        ("job-1", "job-1", 1),
        ("job-2", "job-1", 2),
        ("job-3", "job-3", 1),
    ]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("repeats", [False, True])
def test_a_server_that_names_fewer_rounds_or_repeats_them_gets_no_more_than_the_level(hospital, repeats):
    """Each plan is for one round, with as little noise as that allows; the hospital has set no budget."""
    site = hospital()
    data = SiteData(tuple(OfPatient(str(number)) for number in range(50)), ())  # type: ignore[arg-type]
    learning = BrainTumorSettings(local_steps=10, local_epochs=None, batch_size=8)
    job = PrivacyPayments(site, data, learning, DpSgdAlgorithmSettings(epsilon=8.0), job="job-1", run="job-1")
    job.admit(100, left=100)

    def ask() -> None:
        for index in range(9):
            job.pay(Schedule(0 if repeats else index, 1))

    reason = refused(ask)
    assert "what a job with formal protection may spend" in reason
    paid = [one for entry in ledger(site).read().entries for one in entry.mechanisms]
    assert 7.5 < epsilon_spent(paid, 0.1 / 50) <= 10


def test_what_five_rounds_cost_exactly_is_enough_for_five(hospital):
    payments(hospital(epsilon=cost(5))).admit(5, left=5)
    refused(lambda: payments(hospital(epsilon=cost(5) * 0.999)).admit(5, left=5))


def test_a_plan_that_does_not_keep_its_promise_pays_nothing(hospital):
    site = hospital()
    for use in (lambda one: one.admit(50, left=50), lambda one: one.pay(Schedule(0, 50))):
        with pytest.raises(ConfigurationError, match="promises an epsilon of 1, and its plan for 50 rounds"):
            use(payments(site, epsilon=1.0))
        with pytest.raises(ConfigurationError, match="no plan"):
            use(payments(site, plans=False))
    assert ledger(site).read().entries == ()


def test_a_damaged_ledger_lets_nothing_be_trained(hospital):
    site = hospital()
    payments(site).pay(Schedule(0, 5))
    (site.state_dir / LEDGER_FILE).write_bytes(b"nothing")
    for use in (lambda: payments(site).admit(5, left=5), lambda: payments(site).pay(Schedule(1, 5))):
        with pytest.raises(SiteRefusal) as refusal:
            use()
        assert refusal.value.code is RefusalCode.PRIVACY_LEDGER


def test_less_than_is_demanded_is_refused_by_settings_alone(hospital):
    site = hospital(min_sites=3)
    require_offer(site, PrivateToySettings(epsilon=9), sites=3)
    for algorithm, sites in (
        (PrivateToySettings(epsilon=11), 3),
        (DEFAULT_ALGORITHM, 3),
        (PrivateToySettings(), 2),
    ):
        with pytest.raises(SiteRefusal) as refusal:
            require_offer(site, algorithm, sites=sites)
        assert refusal.value.code is RefusalCode.PRIVACY_DEMAND
        assert refusal.value.code.lasts


TRAIN = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from consilium.learning.schedule import Schedule
from participant.paying import SiteSettings, payments
job = payments(SiteSettings.model_validate_json(sys.argv[1]))
for index in range(100):
    print(job.pay(Schedule(index, 5)).round_index, flush=True)
"""


@pytest.mark.long
def test_what_a_killed_process_paid_counts_for_the_next_job(hospital):
    site = hospital(epsilon=FIVE_ROUNDS)
    command = [sys.executable, "-c", TRAIN, site.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    assert begun == ["0\n", "1\n"]
    left = 5 - len(ledger(site).read().entries)
    assert left <= 3
    for index in range(left):
        payments(site, job="job-2").pay(Schedule(index, 5))
    refused(lambda: payments(site, job="job-2").pay(Schedule(left, 5)))
