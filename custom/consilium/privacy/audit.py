"""Audit of a private training in one run: a lower bound of epsilon from guesses about canaries.

After Steinke, Nasr and Jagielski 2023, arXiv:2305.08846. Each of m canary patients takes part or not by a
fair coin. After the training an auditor guesses the coins. If the training is (epsilon, delta)-differentially
private, its correct guesses are limited; too many of them refute epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

_MOST: Final = 64.0
"""No larger lower bound is reported: with so few canaries as fit into memory none is found."""

_HALVINGS: Final = 50


@dataclass(frozen=True)
class CanaryGuesses:
    """Guesses about which canaries took part in one training.

    How many guesses are made, and which scores they follow, must be chosen before the coins are looked at;
    otherwise the bound has no confidence.

    Args:
        canaries: m, canaries with a coin each.
        guesses: r, canaries about which a guess was made; the auditor abstained from the others.
        correct: v, guesses that agree with the coin.

    Raises:
        ValueError: If these can't be.

    Example:
        >>> CanaryGuesses(canaries=100, guesses=100, correct=100).lower_bound(delta=1e-5)
        3.49...
        >>> CanaryGuesses(canaries=100, guesses=100, correct=58).lower_bound(delta=1e-5)
        0.0
    """

    canaries: int
    guesses: int
    correct: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.guesses <= self.canaries or not self.canaries:
            raise ValueError(
                f"{self.correct} correct of {self.guesses} guesses about {self.canaries} canaries can't be"
            )

    @classmethod
    def from_scores(
        cls, scores: Sequence[float] | NDArray[np.float64], included: Sequence[bool], *, guesses: int
    ) -> CanaryGuesses:
        """Guess that the highest scores are of canaries that took part, and the lowest of those that did not.

        Args:
            scores: Of each canary; higher where it seems to have taken part. Equal ones are guessed in their
                order, which must not depend on the coins.
            included: Each canary's coin.
            guesses: r; half of them are about the highest scores, with the odd one. The auditor abstains from
                the scores between.

        Raises:
            ValueError: If lengths or `guesses` don't fit, or a score is not a number.
        """
        values, coins = np.asarray(scores, np.float64), np.asarray(included, bool)
        if values.shape != coins.shape or values.ndim != 1 or not 0 <= guesses <= len(values):
            raise ValueError(
                f"{guesses} guesses from arrays of {values.shape} and {coins.shape}: give one score and "
                "one coin a canary, and at most as many guesses"
            )
        if np.isnan(values).any():
            raise ValueError("a score is not a number; the auditor must score every canary")
        order = np.argsort(-values, kind="stable")
        lowest = guesses // 2
        highest = guesses - lowest
        hits = coins[order[:highest]].sum() + (~coins[order[len(order) - lowest :]]).sum()
        return cls(canaries=len(values), guesses=guesses, correct=int(hits))

    def p_value(self, epsilon: float, delta: float) -> float:
        """Bound the probability of as many correct guesses if the training is (epsilon, delta)-private.

        Theorem 5.2 of the paper: under pure epsilon the correct guesses are dominated by a binomial with the
        accuracy of randomized response, and delta adds at most 2 m delta times the steepest mean gain of
        probability just below v.

        Args:
            epsilon: Of the claim, 0 or more.
            delta: Of the claim, 0 to 1.

        Raises:
            ValueError: If either is out of range.
        """
        if not (epsilon >= 0 and 0 <= delta <= 1):
            raise ValueError(f"epsilon {epsilon} and delta {delta}: take at least 0, and delta at most 1")
        accuracy = 1 / (1 + math.exp(-epsilon))
        pure = float(binom.sf(self.correct - 1, self.guesses, accuracy))
        if not self.correct or not delta:
            return min(pure, 1.0)
        less = np.arange(1, self.correct + 1)
        gains = (binom.sf(self.correct - less - 1, self.guesses, accuracy) - pure) / less
        return min(pure + 2 * self.canaries * delta * float(gains.max()), 1.0)

    def lower_bound(self, *, delta: float, confidence: float = 0.95) -> float:
        """Return the largest epsilon that the guesses refute; 0 if they refute none.

        If the training is (epsilon, delta)-private, the bound is above epsilon with a probability of at most
        1 - `confidence`. A low bound proves nothing: another auditor may do better.

        Args:
            delta: Of the claim.
            confidence: Between 0 and 1.

        Raises:
            ValueError: If either is out of range.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence {confidence}: give a number between 0 and 1")
        level = 1 - confidence
        if self.p_value(0.0, delta) >= level:
            return 0.0
        low, high = 0.0, 1.0
        while self.p_value(high, delta) < level:
            low, high = high, 2 * high
            if high > _MOST:
                return _MOST
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p_value(middle, delta) < level else (low, middle)
        return low
