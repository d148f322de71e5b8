from dataclasses import replace

import pytest

from consilium.learning.algorithms.scaffold import ScaffoldAlgorithmSettings
from consilium.participant.register_files import open_register
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent, is_within
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.privacy.ledger import LEDGER_FILE, PrivacyLedger
from consilium.privacy.ledger_entry import Payment
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import PrivacyPromise
from consilium.site_check.finding import Status
from consilium.site_check.job import load_site_job
from consilium.site_check.privacy_demand import check_privacy


@pytest.fixture
def site(tmp_path):
    def build(withdrawn=None, **privacy):
        demand = PrivacyDemand.parse(privacy, source="test")
        state = tmp_path / "state"
        return SiteSettings(dataset=tmp_path, state_dir=state, privacy=demand, withdrawn_patients=withdrawn)

    return build


def test_a_site_without_a_demand_is_well_with_every_job(site, job):
    finding = check_privacy(site(), job)
    assert finding.status is Status.OK
    assert finding.seen == "it demands no noise and no secure aggregation; 0 withdrawn patients listed"


def test_noise_that_hides_the_hospital_is_named_and_meets_no_demand_for_patients(site, job, refused):
    noise = HospitalNoise(clip=1.0, noise_multiplier=1e4)
    hidden = site().model_copy(update={"hospital_noise": noise})
    assert "noise hides the hospital as a whole, not by patient" in check_privacy(hidden, job).seen
    scaffold = replace(job, algorithm=ScaffoldAlgorithmSettings())
    refused(check_privacy(hidden, scaffold), "algorithm 'scaffold' also sends", "hospital_noise")
    formal = site(level="formal").model_copy(update={"hospital_noise": noise})
    refused(check_privacy(formal, job), "it demands formal protection of patients", "ask the lead")


def test_a_job_that_offers_less_is_found_before_it_comes(site, job, refused):
    demanding = site(level="formal", epsilon=8.0, min_sites=3, secure_aggregation=True)
    finding = check_privacy(demanding, job)
    refused(finding, "it demands formal protection of patients, and this job offers none", "ask the lead")
    promise = PrivacyPromise(epsilon=3.0, secure_aggregation=True)
    offering = check_privacy(demanding, replace(job, promise=promise, min_sites=3))
    assert offering.status is Status.OK
    assert offering.seen.startswith(
        "it demands formal protection, at least 3 hospitals a round, secure aggregation, a budget of "
        "epsilon 8 a patient"
    )


def test_a_job_in_which_others_see_the_update_is_found_before_it_comes(site, refused):
    cyclic = load_site_job("brain_tumor_cyclic")
    refused(check_privacy(site(), cyclic), "it lets no other hospital see its update", "ask the lead")
    assert check_privacy(site(updates_to_hospitals=True), cyclic).status is Status.OK
    combined = site(updates_to_hospitals=True, min_sites=2)
    refused(check_privacy(combined, cyclic), "it demands 2 sites a round, and this job needs 1 only", "ask")


def pay(site, rounds, mechanism, unit="patient"):
    with open_register(site) as register:
        ledger = PrivacyLedger(site.state_dir, register.ledger_key)
    for index in range(rounds):
        payment = Payment("earlier", "earlier", index, (mechanism,), 1e-4, ("a", "b"), unit)
        ledger.pay(payment, lambda content: None)
    ledger.close()


def test_a_job_that_may_pass_what_is_left_of_the_patients_budget_is_told_before_it_comes(site, job):
    hospital, offering = site(level="formal", epsilon=8.0, delta=1e-4), PrivacyPromise(epsilon=3.0)
    pay(hospital, 2, SampledGaussian(noise_multiplier=1.0))
    spent = epsilon_spent([SampledGaussian(noise_multiplier=1.0).repeat(2)], 1e-4)
    assert 5.0 < spent < 8.0
    finding = check_privacy(hospital, replace(job, promise=offering))
    assert finding.status is Status.WARNING
    left = f"{8 - spent:.3g} is left of 8"
    assert f"may decline the job: it may spend epsilon 3 of a patient, and {left}" in finding.seen
    assert "ledger show" in finding.remedy
    small = replace(job, promise=replace(offering, epsilon=8 - spent))
    assert check_privacy(hospital, small).status is Status.OK
    evaluating = hospital.model_copy(update={"role": "evaluates"})
    assert check_privacy(evaluating, replace(job, promise=offering)).status is Status.OK


def test_a_job_that_may_pass_the_budget_of_the_hospital_as_a_whole_is_told_before_it_comes(site, job):
    noise = HospitalNoise(clip=1.0, noise_multiplier=2.0, epsilon=8.0)
    hospital = site().model_copy(update={"hospital_noise": noise})
    most = next(
        rounds
        for rounds in range(1, 99)
        if not is_within([noise.mechanism.repeat(rounds + 1)], noise.delta, noise.epsilon)
    )
    pay(hospital, 1, noise.mechanism, unit="hospital")
    assert check_privacy(hospital, replace(job, rounds=most - 1)).status is Status.OK
    finding = check_privacy(hospital, replace(job, rounds=most))
    assert finding.status is Status.WARNING
    assert f"its {most} rounds would bring the hospital as a whole from epsilon" in finding.seen


def test_what_no_job_could_use_fails(site, job, refused, tmp_path):
    refused(check_privacy(site(withdrawn=tmp_path / "lost.txt"), job), "can't be used", "ledger verify")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / LEDGER_FILE).write_bytes(b"nothing")
    finding = check_privacy(site(), job)
    refused(finding, "the privacy ledger", "ledger verify")
    assert str(tmp_path) not in finding.seen


def test_the_listed_patients_are_counted_and_not_named(site, job, tmp_path):
    (tmp_path / "list.txt").write_text("P1\nP2\n")
    finding = check_privacy(site(withdrawn=tmp_path / "list.txt"), job)
    assert "2 withdrawn patients listed" in finding.seen
    assert finding.data["withdrawn"] == 2


def test_without_a_policy_it_is_skipped(job):
    assert check_privacy(None, job).status is Status.SKIPPED
