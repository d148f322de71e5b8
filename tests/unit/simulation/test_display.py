"""Progress where no terminal is: in a log or a pipe."""

import io

import pytest

from consilium.report.terminal import Terminal
from consilium.simulation.display import Display


class Clock:
    """Seconds that pass as the test says."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def shown():
    """What a display shows of lines, each with the seconds before it."""

    def shown(*lines):
        clock, out = Clock(), io.StringIO()
        with Display(Terminal(file=out), clock) as display:
            for seconds, line in lines:
                clock.now += seconds
                display.show(line)
        return [line.split("]   ")[1] for line in out.getvalue().splitlines()]

    return shown


def test_the_first_line_and_every_new_step_are_there_at_once(shown):
    assert shown((0, "loading torch"), (3, "predicted: 0 of 8"), (5, "drawing")) == [
        "loading torch",
        "predicted: 0 of 8",
        "drawing",
    ]


def test_progress_of_one_step_is_a_line_every_ten_seconds(shown):
    lines = [(1, f"predicted: {number} of 60") for number in range(60)]
    assert shown(*lines) == [f"predicted: {number} of 60" for number in range(0, 60, 10)]


def test_steps_that_alternate_are_a_line_a_second_at_most(shown):
    lines = [(0.1, f"{'training' if number % 2 else 'waiting'} {number}") for number in range(60)]
    assert len(shown(*lines)) <= 6


def test_a_line_is_not_repeated(shown):
    assert shown((0, "evaluating"), (100, "evaluating")) == ["evaluating"]
