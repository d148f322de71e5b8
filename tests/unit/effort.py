"""How many examples tests by property draw: few in every run, many when somebody looks for longer.

`make fuzz` runs these tests with `CONSILIUM_FUZZ=20`, twenty times as many.
"""

import os

FACTOR = float(os.environ.get("CONSILIUM_FUZZ", "1"))


def examples(count: int) -> int:
    """Return how many examples to draw where an ordinary run draws `count`."""
    return max(1, round(FACTOR * count))
