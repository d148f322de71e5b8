"""The server's processes die; the job resumes by itself from its last durable round."""

from pathlib import Path

import pytest

from integration.security.federation import SERVER_NAME, SITES
from waiting import wait_until

from .consortium import ROUNDING, ROUNDS, Consortium
from .outcome import Outcome, largest_difference

pytestmark = pytest.mark.drill


def assert_as_undisturbed(outcome: Outcome, undisturbed: Outcome, durable: list[int]) -> None:
    """All rounds were done once, by all sites, and the model is that of the undisturbed run.

    Args:
        outcome: Of the disturbed job.
        undisturbed: Of the other.
        durable: The rounds that were durable at each interruption.
    """
    assert outcome.status == "FINISHED:COMPLETED"
    assert [one.after_round for one in outcome.record.resumed] == durable
    assert [one.number for one in outcome.record.rounds] == list(range(1, ROUNDS + 1))
    assert {site: outcome.outcomes(site) for site in SITES} == dict.fromkeys(SITES, ["trained"] * ROUNDS)
    assert largest_difference(outcome.weights, undisturbed.weights) <= ROUNDING


def test_killed_in_mid_training(consortium: Consortium, job: Path, undisturbed: Outcome) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 3)
    consortium.kill(SERVER_NAME)
    durable = consortium.durable(job_id)
    assert durable >= 2
    outcome = consortium.wait_for_end(job_id)
    assert_as_undisturbed(outcome, undisturbed, [durable])
    interrupted = consortium.meta(job_id)
    assert interrupted["status"] == "FINISHED:ABNORMAL"
    assert interrupted["interruption"]["reason"] == "the server stopped while the job ran"


def test_killed_in_mid_aggregation(consortium: Consortium, job: Path, undisturbed: Outcome) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2)
    updates = consortium.server / job_id / "updates"
    consortium.stop_at(
        job_id,
        lambda: len(list(updates.glob("*.safetensors"))) == len(SITES),
        "all updates are at the server",
    )
    durable = consortium.durable(job_id)
    consortium.kill(SERVER_NAME)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed, [durable])


def test_killed_in_mid_checkpoint(consortium: Consortium, job: Path, undisturbed: Outcome) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2)
    rounds = consortium.checkpoints / job_id
    consortium.stop_at(job_id, lambda: any(rounds.glob(".round_*")), "a round is half written")
    durable = consortium.durable(job_id)
    consortium.kill(SERVER_NAME)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed, [durable])


def test_killed_twice_in_a_row(consortium: Consortium, job: Path, undisturbed: Outcome) -> None:
    first = consortium.submit(job)
    consortium.wait_for_round(first, 2)
    consortium.kill(SERVER_NAME)
    durable = [consortium.durable(first)]
    second = consortium.wait_for_successor(first)
    consortium.wait_for_round(second, durable[0] + 1)
    consortium.kill(SERVER_NAME)
    durable.append(consortium.durable(second))
    outcome = consortium.wait_for_end(first)
    assert len(outcome.jobs) == 3
    assert_as_undisturbed(outcome, undisturbed, durable)


def test_killed_again_before_the_job_went_on(consortium: Consortium, job: Path, undisturbed: Outcome) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2)
    consortium.kill(SERVER_NAME)
    durable = consortium.durable(job_id)
    wait_until(lambda: consortium.processes(SERVER_NAME, job=False), "the server is back")
    consortium.kill(SERVER_NAME)
    assert_as_undisturbed(consortium.wait_for_end(job_id), undisturbed, [durable])


def test_only_the_job_s_process_is_killed(consortium: Consortium, job: Path, undisturbed: Outcome) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2)
    consortium.kill(SERVER_NAME, job=True)
    durable = consortium.durable(job_id)
    outcome = consortium.wait_for_end(job_id)
    assert_as_undisturbed(outcome, undisturbed, [durable])
    reason = consortium.meta(job_id)["interruption"]["reason"]
    assert reason == "the job's process at the server was killed"
