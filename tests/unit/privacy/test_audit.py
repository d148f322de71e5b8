import math

import numpy as np
import pytest
from scipy.stats import binom

from consilium.privacy.audit import CanaryGuesses


def bound(canaries, guesses, correct, delta=1e-5, confidence=0.95):
    return CanaryGuesses(canaries, guesses, correct).lower_bound(delta=delta, confidence=confidence)


def test_the_bound_is_that_of_the_paper_s_own_example():
    # Proposition 5.1 without delta: all of r guesses correct refute the accuracy q with q^r = 0.05.
    accuracy = 0.05 ** (1 / 600)
    assert bound(1000, 600, 600, delta=0) == pytest.approx(math.log(accuracy / (1 - accuracy)), abs=1e-6)


def p_value_in_words(canaries, guesses, correct, epsilon, delta):
    """The theorem, term by term."""
    accuracy = math.exp(epsilon) / (1 + math.exp(epsilon))

    def probability(low, high):  # low <= W < high
        return sum(binom.pmf(k, guesses, accuracy) for k in range(max(low, 0), high))

    steepest = max(
        (probability(correct - i, correct) / i for i in range(1, canaries + 1)),
        default=0,
    )
    return min(1, probability(correct, guesses + 1) + 2 * canaries * delta * steepest)


@pytest.mark.quick_cases(8)
@pytest.mark.parametrize(
    ("canaries", "guesses", "correct"), [(40, 40, 36), (40, 20, 20), (30, 10, 0), (25, 0, 0), (50, 31, 17)]
)
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("delta", [0.0, 1e-4, 0.01])
def test_the_p_value_is_the_theorem_s(canaries, guesses, correct, epsilon, delta):
    given = CanaryGuesses(canaries, guesses, correct).p_value(epsilon, delta)
    assert given == pytest.approx(p_value_in_words(canaries, guesses, correct, epsilon, delta), abs=1e-9)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("canaries", [100, pytest.param(300, marks=pytest.mark.long)])
def test_randomized_response_is_falsely_refuted_as_rarely_as_promised(epsilon, canaries):
    # Randomized response is exactly epsilon-private, and nothing of that epsilon is easier to guess: the
    # probability of a bound above epsilon can be summed up.
    accuracy = 1 / (1 + math.exp(-epsilon))
    refuted = [v for v in range(canaries + 1) if bound(canaries, canaries, v, delta=0) > epsilon]
    assert sum(binom.pmf(v, canaries, accuracy) for v in refuted) <= 0.05
    assert refuted, "an audit that never refutes is worth nothing"


def test_a_mechanism_that_reveals_all_with_probability_delta_is_not_refuted_by_it():
    # (0, delta)-private: with probability delta all coins are published, else nothing.
    canaries, delta = 50, 0.02
    refuted = {v for v in range(canaries + 1) if bound(canaries, canaries, v, delta=delta) > 0}
    silent = sum(binom.pmf(v, canaries, 0.5) for v in refuted)
    assert delta * (canaries in refuted) + (1 - delta) * silent <= 0.05
    assert bound(canaries, canaries, canaries, delta=0) > 2


def test_more_correct_guesses_never_lower_the_bound_and_a_larger_delta_never_raises_it():
    bounds = [bound(60, 60, v) for v in range(61)]
    assert bounds == sorted(bounds)
    assert bounds[30] == 0 < bounds[60]
    by_delta = [bound(60, 60, 58, delta=delta) for delta in (0, 1e-6, 1e-3, 0.1)]
    assert by_delta == sorted(by_delta, reverse=True)
    assert bound(60, 60, 58, confidence=0.99) < bound(60, 60, 58, confidence=0.9)


def test_abstaining_from_doubtful_canaries_raises_the_bound():
    # The ten lowest and the ten highest scores are right, those between are noise.
    random = np.random.default_rng(0)
    included = np.array([True] * 10 + list(random.random(80) < 0.5) + [False] * 10)
    scores = np.array([9.0] * 10 + list(random.normal(size=80)) + [-9.0] * 10)
    few, all_ = (CanaryGuesses.from_scores(scores, included, guesses=r) for r in (20, 100))
    assert (few.guesses, few.correct) == (20, 20)
    assert few.lower_bound(delta=1e-5) > all_.lower_bound(delta=1e-5)


def test_scores_without_information_refute_nothing():
    random = np.random.default_rng(1)
    included = random.random(200) < 0.5
    constant = CanaryGuesses.from_scores(np.zeros(200), included, guesses=100)
    assert constant.lower_bound(delta=1e-5) == 0
    drawn = CanaryGuesses.from_scores(random.normal(size=200), included, guesses=100)
    assert drawn.lower_bound(delta=1e-5) == 0


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_gaussian_mechanism_stays_below_its_epsilon_and_without_noise_is_refuted(sigma):
    # The sum of orthogonal canaries of norm 1 with noise; epsilon from the analytic curve of the Gaussian
    # mechanism (Balle and Wang 2018, arXiv:1805.06530), found by bisection.
    canaries, delta = 400, 1e-5
    random = np.random.default_rng(2)
    included = random.random(canaries) < 0.5
    noisy = included + random.normal(scale=sigma, size=canaries)
    epsilon = gaussian_epsilon(sigma, delta)
    for guesses in (40, 400):
        found = CanaryGuesses.from_scores(noisy, included, guesses=guesses)
        assert found.lower_bound(delta=delta) <= epsilon
    broken = CanaryGuesses.from_scores(included.astype(float), included, guesses=300)
    assert broken.lower_bound(delta=delta) > gaussian_epsilon(1.0, delta)


def gaussian_epsilon(sigma, delta):
    from scipy.stats import norm

    low, high = 0.0, 200.0
    for _ in range(100):
        epsilon = (low + high) / 2
        spent = norm.cdf(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * norm.cdf(
            -0.5 / sigma - epsilon * sigma
        )
        low, high = (epsilon, high) if spent > delta else (low, epsilon)
    return high


@pytest.mark.parametrize(
    "numbers", [(0, 0, 0), (10, 11, 5), (10, 5, 6), (10, 5, -1)], ids=lambda numbers: str(numbers)
)
def test_guesses_that_cannot_be_are_errors(numbers):
    with pytest.raises(ValueError, match="can't be"):
        CanaryGuesses(*numbers)


def test_wrong_arguments_are_errors():
    guesses = CanaryGuesses(10, 10, 10)
    for epsilon, delta in ((-1, 0), (math.nan, 0), (1, 2), (1, -1), (1, math.nan)):
        with pytest.raises(ValueError, match="delta"):
            guesses.p_value(epsilon, delta)
    for confidence in (0, 1, math.nan):
        with pytest.raises(ValueError, match="confidence"):
            guesses.lower_bound(delta=0, confidence=confidence)
    with pytest.raises(ValueError, match="not a number"):
        CanaryGuesses.from_scores([0.0, math.nan], [True, False], guesses=2)
    with pytest.raises(ValueError, match="one score"):
        CanaryGuesses.from_scores([0.0], [True, False], guesses=1)
    with pytest.raises(ValueError, match="guesses"):
        CanaryGuesses.from_scores([0.0, 1.0], [True, False], guesses=3)
