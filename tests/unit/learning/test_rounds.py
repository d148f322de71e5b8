import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.learning.network_state import initial_weights
from consilium.learning.rounds import RoundLoss, Schedule

from .tiny import LEARNING, TinyTask

TASK = TinyTask()
WEIGHTS = initial_weights(TASK, LEARNING, seed=0)


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


steps = st.lists(
    st.tuples(st.floats(0, 10), st.lists(st.sampled_from("ABCDEF"), min_size=1, max_size=3)), max_size=30
)


@given(steps, st.integers(1, 5))
def test_whatever_can_be_subtracted_is_of_enough_patients(steps, minimum):
    loss = RoundLoss(minimum)
    reported, pending, total = None, set(), 0.0
    for count, (value, patients) in enumerate(steps, start=1):
        loss.add(value, patients)
        pending.update(patients)
        total += value
        if loss.mean != reported:
            assert len(pending) >= minimum
            assert loss.mean == pytest.approx(total / count)
        if len(pending) >= minimum:
            pending = set()
        reported = loss.mean


def test_with_one_patient_as_the_minimum_it_is_the_mean_of_all_steps():
    loss = RoundLoss(1)
    for value in (1.0, 2.0, 6.0):
        loss.add(value, ["A"])
    assert loss.mean == 3.0
