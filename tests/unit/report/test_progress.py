import time

import pytest

from consilium.report.progress import JobProgress, SiteState, describe_progress


def progress(number, states=()):
    sites = {name: SiteState(state=state, since=0) for name, state in states}
    return JobProgress(round=number, rounds=5 if number else 0, started=time.time(), sites=sites)


@pytest.mark.parametrize(
    ("states", "line"),
    [((), "waiting for the sites"), ((("south", "checked"), ("north", "sent")), "north sent, south checked")],
)
def test_a_job_without_rounds_is_described_by_what_its_sites_do(states, line):
    assert describe_progress(progress(0, states)) == line


def test_rounds_are_counted():
    assert describe_progress(progress(1)) == "round 1 of 5 | waiting for the sites"
    assert describe_progress(progress(2, [("north", "sent")])) == "round 2 of 5, about 0:00 left | north sent"
