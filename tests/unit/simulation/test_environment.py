import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from consilium.data.split import SetShares
from consilium.participant.register_files import open_register
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.bounds import MissingSite
from consilium.records.federation import FederationRecord
from consilium.records.readiness import READINESS_FILE, ReadinessRecord
from consilium.records.statistics import StatisticsRecord
from consilium.simulation import environment
from consilium.simulation.environment import failure_of, run_in_simulator, seed_of, with_split_salts
from consilium.simulation.hospitals import NamesAndLabels, site_settings
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.label_conventions import LabelConvention


@pytest.mark.parametrize(
    ("status", "reason", "failure"),
    [
        ("finished", None, None),
        ("failed", "round 1 has 0 updates", "round 1 has 0 updates"),
        ("running", None, "aborted without a reason"),  # the server ended before it could write one
    ],
)
def test_a_job_failed_unless_its_record_says_that_it_finished(tmp_path, status, reason, failure):
    FederationRecord(
        job="a",
        task="brain_tumor",
        title="Brain tumor segmentation",
        metrics=get_task("brain_tumor").evaluation.metrics,
        status=status,
        reason=reason,
        rounds_planned=1,
        settings={},
    ).save(tmp_path)
    found = failure_of(tmp_path)
    assert (found and found.text) == failure


def test_the_outcome_of_a_job_without_a_record_is_flare_s(tmp_path):
    assert failure_of(tmp_path) is None


def test_what_hospitals_say_of_their_files_reaches_their_settings(tmp_path):
    patients, accepted = tmp_path / "patients.csv", tmp_path / "accepted.csv"
    names = NamesAndLabels(
        conventions={"north": LabelConvention.BRATS_2023},
        file_endings={"t1ce": ("T1_KM",)},
        missing_inputs={"south": ("t2",)},
        patients_files={"south": patients},
        accepted_files={"north": accepted},
    )
    folders = {name: tmp_path / name for name in ("north", "south")}
    for folder in folders.values():
        folder.mkdir()
    sites = site_settings(folders, tmp_path / "out", frozenset(), names=names)
    assert [site.label_convention for site in sites.values()] == [LabelConvention.BRATS_2023, None]
    assert [site.file_endings for site in sites.values()] == [{"t1ce": ("T1_KM",)}] * 2
    assert [site.missing_inputs for site in sites.values()] == [(), ("t2",)]
    assert [site.patients_file for site in sites.values()] == [None, patients]
    assert [site.accepted_findings for site in sites.values()] == [accepted, None]


def test_statistics_that_failed_are_a_failed_job(tmp_path):
    StatisticsRecord(job="a", task="brain_tumor", title="A", status="failed", reason="too few sites").save(
        tmp_path
    )
    assert str(failure_of(tmp_path)) == "too few sites"


def test_a_check_after_which_nobody_can_train_is_not_a_failed_job(tmp_path):
    ReadinessRecord(
        job="a", task="brain_tumor", title="A", missing={"north": MissingSite(reason="away")}
    ).save(tmp_path / READINESS_FILE)
    assert failure_of(tmp_path) is None


def test_a_simulation_is_closed_to_other_accounts_before_flare_writes_to_it(tmp_path, monkeypatch):
    """From a notebook with its own umask as well, and where an earlier version left it open."""
    workspace = tmp_path / "simulation"
    workspace.mkdir()
    workspace.chmod(0o755)
    modes = []

    class Runner:
        def __init__(self, job, sites, folder):
            modes.append(folder.stat().st_mode & 0o777)

        def run(self):
            return 0

    monkeypatch.setattr(environment, "_HospitalSimulatorRunner", Runner)
    job = export_job(build_recipe("brain_tumor_check"), tmp_path)
    run_in_simulator(job, {}, workspace)
    assert modes == [0o700]


def test_the_process_of_a_simulation_writes_for_its_owner_only(monkeypatch):
    umasks = []
    monkeypatch.setattr(environment, "run_in_simulator", lambda *_: umasks.append(os.umask(0)))
    reading, writing = os.pipe()
    with (
        os.fdopen(reading) as pipe,
        os.fdopen(writing, "w") as request,
    ):
        request.write('{"sites": {}, "job": "job", "workspace": "simulation"}\n')
        request.flush()
        monkeypatch.setattr(sys, "stdin", pipe)
        monkeypatch.setattr(environment, "end_with_parent", lambda parent: None)
        environment.main()
    assert umasks == [0o077]


@dataclass(frozen=True)
class Visit:
    id: str
    patient: str


def simulated_split(folder, seed):
    """Whom a simulated site validates on, in a simulation that remembers nothing of others."""
    site = SiteSettings(dataset=Path("/data"), state_dir=folder)
    (site,) = with_split_salts({"north": site}, seed).values()
    with open_register(site) as register:
        cases = [Visit(f"P{number}", f"P{number}") for number in range(40)]
        return register.split(cases, SetShares(0.5, 0)).validation


def test_a_simulation_repeats_the_split_of_its_seed(tmp_path):
    first = simulated_split(tmp_path / "a", 3)
    assert simulated_split(tmp_path / "b", 3) == first
    assert simulated_split(tmp_path / "c", 4) != first


def test_a_salt_of_the_site_s_own_stays():
    site = SiteSettings(dataset=Path("/data"), split_salt="mine")
    assert with_split_salts({"north": site}, 3) == {"north": site}


@pytest.mark.parametrize(
    ("job", "changes", "seed"),
    [
        ("brain_tumor_fedavg", {"learning.seed": 7}, 7),
        ("brain_tumor_stats", {}, 0),
        ("brain_tumor_check", {}, 0),
    ],
)
def test_the_seed_is_that_of_the_job(tmp_path, job, changes, seed):
    assert seed_of(export_job(build_recipe(job, changes), tmp_path)) == seed


def test_a_study_keeps_to_a_hospital_s_minimums_unless_it_has_others(tmp_path):
    sites = {name: tmp_path / name for name in ("north", "south")}
    for folder in sites.values():
        folder.mkdir()
    for minimum, found in ((None, (5, 3)), (1, (1, 1)), (7, (7, 7))):
        site = site_settings(sites, tmp_path / "out", frozenset({"north"}), minimum)["south"]
        assert (site.min_count, site.min_training_patients) == found
