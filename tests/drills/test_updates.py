"""A hospital sends what it should not; its updates are left out, and the reason is reported."""

import json
from pathlib import Path

import pytest

from .consortium import MISDEEDS, Consortium, export_drill_job

pytestmark = pytest.mark.drill

HOSTILE = "south"
REASONS = {
    2: ("nan", "finite"),
    3: ("1000x", "times as long"),
    4: ("flip", "times as long"),
    5: ("replay", "the same as"),
}
"""What is done to the update of a round, and what the server must find in it."""


def test_bad_updates_are_rejected(consortium: Consortium, tmp_path: Path) -> None:
    rounds = max(REASONS) + 1
    job = export_drill_job(tmp_path, {"rounds": rounds, "screening.max_refusals": None})
    misdeeds = {number: misdeed for number, (misdeed, _) in REASONS.items()}
    (consortium.kits[HOSTILE] / MISDEEDS).write_text(json.dumps(misdeeds))
    job_id = consortium.submit(job)
    outcome = consortium.wait_for_end(job_id)
    assert outcome.status == "FINISHED:COMPLETED"
    log = (consortium.kits[HOSTILE] / job_id / "log.txt").read_text()
    for number, (_, reason) in REASONS.items():
        answer = outcome.record.rounds[number - 1].sites[HOSTILE]
        assert answer.outcome == "refused"
        assert reason in (answer.reason or "")
        assert answer.weight == 0
        assert f"the server rejected the last answer: {answer.reason}" in log
    for site in ("north", "clinic"):
        assert outcome.outcomes(site) == ["trained"] * rounds
    assert outcome.outcomes(HOSTILE)[-1] == "trained"
