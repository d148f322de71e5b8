"""A hospital's processes die, hang, starve or stay away; the others lose nothing by it."""

import resource
import signal
from pathlib import Path

import psutil
import pytest

from consilium.provisioning.kit import Kit
from consilium.provisioning.site_stop import stop_site
from integration.security.federation import SITES
from waiting import wait_until

from .clock import FAKETIME, HOUR, shifted_clock
from .consortium import ROUNDING, ROUNDS, Consortium, export_drill_job
from .outcome import Outcome, largest_difference

pytestmark = pytest.mark.drill


def assert_no_round_was_lost(outcome: Outcome) -> None:
    """The job continued without an interruption, and every round counts the other hospitals."""
    assert outcome.status == "FINISHED:COMPLETED"
    assert outcome.record.resumed == []
    assert [one.number for one in outcome.record.rounds] == list(range(1, ROUNDS + 1))
    for site in ("north", "clinic"):
        assert outcome.outcomes(site) == ["trained"] * ROUNDS


def assert_as_undisturbed(outcome: Outcome, undisturbed: Outcome) -> None:
    """The hospital took part in every round as well, and the model is that of the undisturbed run."""
    assert_no_round_was_lost(outcome)
    assert outcome.outcomes("south") == ["trained"] * ROUNDS
    assert largest_difference(outcome.weights, undisturbed.weights) <= ROUNDING


def others_have_answered(consortium: Consortium, job_id: str, number: int) -> bool:
    """Whether no other hospital than `south` is waited for in a round, or the round is over."""
    progress = consortium.progress(job_id)
    return progress is not None and (progress.round > number or set(progress.awaited) <= {"south"})


def test_its_processes_are_killed_and_stopped_in_one_round_after_another(
    consortium: Consortium, job: Path, undisturbed: Outcome
) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2, at="south")
    consortium.kill("south", job=True)
    consortium.wait_for_round(job_id, 3, at="south")
    consortium.kill("south")
    consortium.wait_for_round(job_id, 4, at="south")
    consortium.signal("south", signal.SIGSTOP, job=True)
    wait_until(lambda: others_have_answered(consortium, job_id, 4), "the others have answered")
    consortium.signal("south", signal.SIGCONT, job=True)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed)


def test_only_its_parent_process_is_stopped_and_killed(
    consortium: Consortium, job: Path, undisturbed: Outcome
) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2, at="south")
    consortium.signal("south", signal.SIGSTOP, job=False)
    wait_until(lambda: others_have_answered(consortium, job_id, 2), "the others have answered")
    consortium.signal("south", signal.SIGCONT, job=False)
    consortium.wait_for_round(job_id, 3, at="south")
    consortium.kill("south", job=False)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed)


@pytest.mark.parametrize("how", ["killed", "stopped in order"])
def test_it_returns_after_two_rounds(consortium: Consortium, tmp_path: Path, how: str) -> None:
    job_id = consortium.submit(export_drill_job(tmp_path, {"quorum.grace_minutes": 0.1}))
    consortium.wait_for_round(job_id, 2)
    if how == "killed":
        consortium.federation.stop(consortium.kits["south"])
    else:
        stop_site(Kit(consortium.kits["south"]), jobs_too=True)
        assert "south" not in consortium.connected()
    wait_until(lambda: consortium.durable(job_id) >= 3, "two rounds without it")
    consortium.start("south")
    outcome = consortium.wait_for_end(job_id)
    assert outcome.status == "FINISHED:COMPLETED"
    assert len(outcome.record.rounds) == ROUNDS
    assert "trained" not in outcome.outcomes("south")[1:3]
    assert outcome.record.final_sites["south"].outcome == "evaluated"


def test_all_are_lost_and_come_back(consortium: Consortium, job: Path, undisturbed: Outcome) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2)
    for site in SITES:
        consortium.kill(site)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed)


def test_its_memory_runs_out(consortium: Consortium, job: Path) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2)
    (process,) = consortium.processes("south", job=True)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms, resource.RLIM_INFINITY))
    wait_until(
        lambda: _has_refused(consortium, job_id) or not process.is_running(),
        "memory has run out",
    )
    if process.is_running():
        process.rlimit(psutil.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    outcome = consortium.wait_for_end(job_id)
    assert_no_round_was_lost(outcome)
    assert outcome.outcomes("south")[-1] == "trained"


def _has_refused(consortium: Consortium, job_id: str) -> bool:
    progress = consortium.progress(job_id)
    return progress is not None and progress.sites["south"].problem is not None


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_its_clock_is_an_hour_off(
    consortium: Consortium, job: Path, undisturbed: Outcome, seconds: int
) -> None:
    consortium.start("south", shifted_clock(seconds))
    try:
        assert_as_undisturbed(consortium.wait_for_end(consortium.submit(job)), undisturbed)
    finally:
        consortium.start("south")
