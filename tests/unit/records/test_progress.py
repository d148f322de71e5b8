import time

import pytest

from consilium.records.progress import JobProgress, SiteProgress, describe_progress


def progress(number, states=()):
    sites = {name: SiteProgress(state=state, since=0) for name, state in states}
    return JobProgress(round=number, rounds=5 if number else 0, started=time.time(), sites=sites)


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ((), "waiting for the sites"),
        ((("south", "checked"), ("north", "sent")), "north sent, south checked"),
        ((("south", ""), ("north", "sent")), "north sent, south starting"),
    ],
)
def test_a_job_without_rounds_is_described_by_what_its_sites_do(states, line):
    assert describe_progress(progress(0, states)) == line


def test_rounds_are_counted():
    assert describe_progress(progress(1)) == "round 1 of 5 | waiting for the sites"


def test_what_is_left_is_reckoned_from_the_rounds_that_this_process_did():
    resumed = progress(4, [("north", "sent")])
    assert resumed.seconds_left is None
    timed = resumed.model_copy(update={"round_seconds": 100.0, "round_started": resumed.now - 30.0})
    assert timed.seconds_left == pytest.approx(170)
    assert describe_progress(timed) == "round 4 of 5, about 2:50 left | north sent"
    late = timed.model_copy(update={"round_started": timed.now - 500.0})
    assert late.seconds_left == pytest.approx(100)


@pytest.mark.parametrize("task", ["validate", "local_only"])
def test_nothing_is_reckoned_once_the_rounds_are_done(task):
    done = progress(5, [("north", "training alone")])
    done = done.model_copy(update={"round_seconds": 100.0, "round_started": done.now - 30.0, "task": task})
    assert done.seconds_left is None
    assert describe_progress(done) == "after round 5 of 5 | north training alone"
