"""How much tests do: few examples and cases in every run, many when somebody looks for longer.

`CONSILIUM_FUZZ` is the factor: 0.1 in `make test-quick`, 0.5 in `make test-long`, 20 in `make fuzz`.
"""

import os

FACTOR = float(os.environ.get("CONSILIUM_FUZZ", "1"))


def examples(count: int) -> int:
    """Return how many examples to draw where an ordinary run draws `count`."""
    return max(1, round(FACTOR * count))


def spread(count: int, total: int) -> set[int]:
    """Return which `count` of `total` cases of a test are quick: the first, and others at equal distances."""
    return {place * total // count for place in range(count)}
