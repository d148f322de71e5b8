import pytest

from consilium.learning.schedule import Schedule

from .tiny import LEARNING


def learning(**changes):
    return LEARNING.model_copy(update={"local_steps": 5, "weight_decay": 0.0, "warmup": 0.0, **changes})


def rates(settings, rounds, steps):
    return [
        Schedule(index, rounds).rate(settings, step, steps)
        for index in range(rounds)
        for step in range(steps)
    ]


def test_the_rate_warms_up_in_a_line_and_falls_to_one_percent():
    settings = learning(learning_rate=0.5, warmup=0.1)
    rate = rates(settings, rounds=4, steps=25)
    assert rate[0] == pytest.approx(0.05)
    assert rate[4] == pytest.approx(0.25)
    assert rate[9] == max(rate) == pytest.approx(0.5)
    assert rate[9:] == sorted(rate[9:], reverse=True)
    assert rate[54] == pytest.approx(0.5 * (0.01 + 0.99 / 2))  # half-way down the cosine
    assert rate[-1] == pytest.approx(0.005)


def test_rounds_join_without_a_jump():
    settings = learning(warmup=0.1)
    assert rates(settings, rounds=5, steps=20) == pytest.approx(rates(settings, rounds=1, steps=100))
