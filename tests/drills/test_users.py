"""What a user does to a job: end it, and resume it."""

from pathlib import Path

import pytest

from integration.studies import edit_json
from waiting import wait_until

from .consortium import OTHER_LEAD, ROUNDING, Consortium, export_drill_job
from .outcome import Outcome, largest_difference

pytestmark = pytest.mark.drill


def test_after_an_abort_the_next_job_runs_and_can_resume_it(
    consortium: Consortium, job: Path, undisturbed: Outcome, tmp_path: Path
) -> None:
    first = consortium.submit(job)
    consortium.wait_for_round(first, 3)
    consortium.abort(first)
    wait_until(lambda: str(consortium.meta(first)["status"]).startswith("FINISHED"), "the job has ended")
    durable = consortium.durable(first)
    assert durable >= 2
    assert "interruption" not in consortium.meta(first)

    resuming = export_drill_job(tmp_path)
    edit_json(resuming / "meta.json", lambda meta: meta.update(resume=first))

    refused = consortium.submit(resuming, OTHER_LEAD)
    ended = wait_until(lambda: consortium.meta(refused).get("outcome"), "the other user's job has ended")
    assert ended["kind"] == "failure"
    assert "another user" in " ".join(one["text"] for one in ended["reasons"])

    outcome = consortium.wait_for_end(consortium.submit(resuming))
    assert outcome.status == "FINISHED:COMPLETED"
    assert [(one.job, one.after_round) for one in outcome.record.resumed] == [(first, durable)]
    assert largest_difference(outcome.weights, undisturbed.weights) <= ROUNDING
