import io
import os
import sys

import pytest

from consilium.report.readiness import READINESS_FILE, ReadinessRecord
from consilium.report.records import FederationRecord
from consilium.report.statistics.record import StatisticsRecord
from consilium.simulation import environment
from consilium.simulation.environment import failure_of, run_in_simulator


@pytest.mark.parametrize(
    ("status", "reason", "failure"),
    [
        ("finished", None, None),
        ("failed", "round 1 has 0 update(s)", "round 1 has 0 update(s)"),
        ("running", None, "aborted without a reason"),  # the server ended before it could write one
    ],
)
def test_a_job_failed_unless_its_record_says_that_it_finished(tmp_path, status, reason, failure):
    FederationRecord(job="a", status=status, reason=reason, rounds_planned=1, settings={}).save(tmp_path)
    assert failure_of(tmp_path) == failure


def test_a_job_that_keeps_no_record_is_judged_by_flare_alone(tmp_path):
    assert failure_of(tmp_path) is None


def test_statistics_that_failed_are_a_failed_job(tmp_path):
    StatisticsRecord(job="a", task="brain_tumor", status="failed", reason="too few sites").save(tmp_path)
    assert failure_of(tmp_path) == "too few sites"


def test_a_check_after_which_nobody_can_train_is_not_a_failed_job(tmp_path):
    ReadinessRecord(job="a", task="brain_tumor", missing={"north": "away"}).save(tmp_path / READINESS_FILE)
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
    run_in_simulator(tmp_path / "job", {}, workspace)
    assert modes == [0o700]


def test_the_process_of_a_simulation_writes_for_its_owner_only(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"sites": {}, "job": "job", "workspace": "simulation"}'))
    umasks = []
    monkeypatch.setattr(environment, "run_in_simulator", lambda *_: umasks.append(os.umask(0)))
    environment.main()
    assert umasks == [0o077]
