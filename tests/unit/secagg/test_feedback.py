import numpy as np

from consilium.secagg.feedback import ErrorFeedback
from consilium.secagg.ring import FixedPoint

CODE = FixedPoint(bits=16, terms=64, bound=0.511)


def send(feedback, round_index, update, weight=0.5, seed=0):
    """One tensor of an attempt of a round; returns what the server would decode."""
    feedback.begin(round_index)
    values = feedback.corrected(round_index, "w", update)
    encoded, _ = CODE.encode(values, generator=np.random.default_rng(seed), weight=weight)
    feedback.keep(round_index, "w", values, encoded, CODE, weight)
    return CODE.decode(encoded) / weight


def test_over_rounds_nothing_is_lost():
    feedback = ErrorFeedback()
    updates = [np.random.default_rng(round_).normal(0, 0.002, 500).astype(np.float32) for round_ in range(30)]
    updates[3][0] = 0.9  # clipped, and sent over two rounds
    sent = sum(send(feedback, index, update, seed=index) for index, update in enumerate(updates))
    assert np.all(np.abs(sent - sum(updates)) <= 2.01 * CODE.step)


def test_a_repeated_round_starts_from_the_errors_before_it():
    feedback, update = ErrorFeedback(), np.full(50, 0.0004, np.float32)
    for index in range(3):
        send(feedback, index, update, seed=index)
    first = send(feedback, 3, update, seed=9)
    again = send(feedback, 3, update, seed=9)
    assert np.array_equal(first, again)


def test_a_new_process_starts_without_errors():
    update = np.full(50, 0.0004, np.float32)
    assert np.array_equal(ErrorFeedback().corrected(7, "w", update), update)


def test_a_site_without_weight_keeps_no_error():
    feedback = ErrorFeedback()
    feedback.begin(0)
    encoded, _ = CODE.encode(np.ones(3), generator=np.random.default_rng(0), weight=0.0)
    feedback.keep(0, "w", np.ones(3), encoded, CODE, 0.0)
    assert np.array_equal(feedback.corrected(1, "w", np.zeros(3)), np.zeros(3))
