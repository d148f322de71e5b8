from dataclasses import replace

import pytest

from consilium.learning.algorithms.scaffold import ScaffoldAlgorithmSettings
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.privacy.ledger import LEDGER_FILE
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
