"""A patient's privacy budget, with a site's real processes, which are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from consilium.participant.register_files import read_register
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.ledger_entry import LedgerContent
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import PrivacyLevel
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

from .studies import ANY_NUMBER

pytestmark = pytest.mark.integration

ROUNDS = 5
DELTA = 1e-4
ROUND = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=40)
"""Of the algorithm in `toy_private`."""
FIVE_ROUNDS = sum(epsilon_spent([ROUND.repeat(rounds)], DELTA) for rounds in (5, 6)) / 2
LEARNING = BrainTumorSettings(spacing_mm=8.0, patch_voxels=(16, 16, 16), batch_size=2, local_steps=3)
FIRST, SECOND, THIRD = (f"6a3b1c9e-5d1f-4b53-9a54-0d3c8e0b7f1{number}" for number in range(3))
UNIT_TESTS = Path(__file__).parents[1] / "unit"


class BudgetedSite:
    """A hospital whose processes come and go, and whose budget is for five rounds of a job.

    Args:
        dataset: Its cases.
        folder: Of all that it keeps.
    """

    def __init__(self, dataset: Path, folder: Path) -> None:
        self._folder = folder
        self._site = SiteSettings(
            dataset=dataset,
            cache_dir=folder / "cache",
            state_dir=folder / "state",
            device="cpu",
            cpu_threads=1,
            privacy=PrivacyDemand(level=PrivacyLevel.FORMAL, epsilon=FIVE_ROUNDS, delta=DELTA),
            **ANY_NUMBER,
        )

    def ledger(self) -> LedgerContent:
        """Return the payments, verified."""
        return PrivacyLedger(self._site.state_dir, read_register(self._site).ledger_key).read()

    @contextmanager
    def process(self, job: str, run: str, rounds: Sequence[int]) -> Iterator["subprocess.Popen[str]"]:
        """Start the site's process of a job, and kill it in the end."""
        request = {
            "workspace": str(self._folder / job),
            "job": job,
            "run": run,
            "site": self._site.model_dump(mode="json"),
            "learning": LEARNING.model_dump(mode="json"),
            "rounds": list(rounds),
            "total_rounds": ROUNDS,
        }
        path = os.pathsep.join([str(UNIT_TESTS), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(Path(__file__).with_name("budgeted_site.py")), json.dumps(request)]
        log = (self._folder / f"{job}.log").open("w")
        with (
            log,
            subprocess.Popen(
                command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def answers(self, job: str, run: str, rounds: Sequence[int]) -> list[dict[str, Any]]:
        """Return what a process answers that trains its rounds and ends."""
        with self.process(job, run, rounds) as process:
            return [json.loads(line) for line in process.communicate(timeout=300)[0].splitlines()]


def rounds_of(answers: list[dict[str, Any]]) -> list[tuple[int, bool, str | None]]:
    return [(one["round"], one["ok"], one["code"]) for one in answers if one["task"] == "train"]


def test_a_site_with_budget_for_five_rounds_stops_in_the_sixth_whatever_happens_between(hospitals, tmp_path):
    site = BudgetedSite(hospitals["north"], tmp_path)
    with site.process(FIRST, FIRST, range(ROUNDS)) as process:
        assert process.stdout is not None
        begun = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert all(one["ok"] for one in begun), begun
        process.send_signal(signal.SIGKILL)  # in the midst of the third round, or soon after its payment
        process.wait()
    paid = len(site.ledger().entries)
    assert paid in (2, 3)

    resumed = site.answers(SECOND, FIRST, range(paid - 1, ROUNDS + 1))
    left = ROUNDS - paid
    assert rounds_of(resumed)[:left] == [(index, True, None) for index in range(paid - 1, paid - 1 + left)]
    assert {code for _, ok, code in rounds_of(resumed)[left:] if not ok} == {"privacy_budget"}
    assert "a patient's privacy budget here, with this round" in resumed[-1]["reason"]

    (prepared, refused) = site.answers(THIRD, THIRD, [0])
    assert (prepared["code"], refused["code"]) == ("privacy_budget", "privacy_budget")

    entries = site.ledger().entries
    assert [entry.job for entry in entries] == [FIRST] * paid + [SECOND] * left
    assert {entry.run for entry in entries} == {FIRST}
    assert [entry.attempt for entry in entries if entry.round_index == paid - 1] == [1, 2]
