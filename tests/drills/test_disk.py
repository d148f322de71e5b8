"""A disk is full: at the server where rounds are kept, at a hospital where cases are."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.security.federation import SERVER_NAME

from .consortium import ROUNDING, ROUNDS, Consortium
from .outcome import Outcome, largest_difference

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


@contextmanager
def small_disk(consortium: Consortium, participant: str, folder: Path, size: str) -> Iterator[None]:
    """Mount an empty disk of a size over a folder, for a participant that runs."""
    folder.mkdir(parents=True, exist_ok=True)
    (process,) = consortium.processes(participant, job=False)
    # A process in a network namespace has mounts of its own.
    at_its_host = ["nsenter", "--mount", "--target", str(process.pid)]
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run([*at_its_host, *mount], check=True)
    try:
        yield
    finally:
        subprocess.run([*at_its_host, "umount", "--lazy", str(folder)], check=True)


def test_it_is_full_at_the_server_s_checkpoints(
    consortium: Consortium, job: Path, undisturbed: Outcome
) -> None:
    with small_disk(consortium, SERVER_NAME, consortium.checkpoints, "3m"):
        outcome = consortium.wait_for_end(consortium.submit(job))
    assert outcome.status == "FINISHED:COMPLETED"
    log = (outcome.folder / "log.txt").read_text()
    assert "could not be made durable (No space left on device)" in log
    assert len(outcome.record.rounds) == ROUNDS
    assert largest_difference(outcome.weights, undisturbed.weights) <= ROUNDING


def test_it_is_full_in_a_hospital_s_cache(consortium: Consortium, job: Path) -> None:
    with small_disk(consortium, "south", consortium.kits["south"] / "cache", "64k"):
        outcome = consortium.wait_for_end(consortium.submit(job))
    assert outcome.status == "FINISHED:COMPLETED"
    assert "trained" not in outcome.outcomes("south")
    reason = outcome.record.preparation["south"].reason
    assert reason is not None
    assert str(consortium.kits["south"]) not in reason
    for site in ("north", "clinic"):
        assert outcome.outcomes(site) == ["trained"] * ROUNDS
