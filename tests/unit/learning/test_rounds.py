import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.learning.rounds import RoundLoss

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
