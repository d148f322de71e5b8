"""Epsilon by Consilium and by Google's dp-accounting, on 50 random schedules.

dp-accounting needs another attrs than Consilium, so it writes its values in an environment of its own:

    python -m venv build/dp-accounting
    build/dp-accounting/bin/pip install dp-accounting==0.6.0
    build/dp-accounting/bin/python benchmarks/accounting.py write tests/unit/privacy/dp_accounting.json
    python benchmarks/accounting.py compare tests/unit/privacy/dp_accounting.json
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

SCHEDULES = 50
SMALLEST, LARGEST = 0.05, 100.0
"""Epsilons of the schedules that are kept: outside, dp-accounting's grid gets coarse."""


def draw(generator: random.Random) -> dict[str, Any]:
    """Return a schedule: up to three mechanisms, and a delta."""

    def between(low: float, high: float) -> float:
        return float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.3g}")

    mechanisms = [
        {
            "noise_multiplier": between(0.5, 20),
            "sampling_rate": 1.0 if generator.random() < 0.15 else between(0.005, 0.5),
            "steps": round(between(1, 2000)),
        }
        for _ in range(generator.choice([1, 1, 2, 3]))
    ]
    return {"delta": between(1e-6, 1e-2), "mechanisms": mechanisms}


def by_dp_accounting(schedule: dict[str, Any]) -> float:
    """Return the epsilon of a schedule by privacy loss distributions."""
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=1e-4)
    for one in schedule["mechanisms"]:
        event = dp_event.GaussianDpEvent(one["noise_multiplier"])
        if one["sampling_rate"] < 1:
            event = dp_event.PoissonSampledDpEvent(one["sampling_rate"], event)
        accountant.compose(event, one["steps"])
    return float(accountant.get_epsilon(schedule["delta"]))


def write(path: Path) -> None:
    """Write random schedules with their epsilons by dp-accounting."""
    generator = random.Random(20)
    kept: list[dict[str, Any]] = []
    while len(kept) < SCHEDULES:
        schedule = draw(generator)
        total = sum(
            one["steps"] * (one["sampling_rate"] / one["noise_multiplier"]) ** 2
            for one in schedule["mechanisms"]
        )
        if total > LARGEST:  # surely too large, and slow
            continue
        epsilon = by_dp_accounting(schedule)
        if SMALLEST <= epsilon <= LARGEST:
            kept.append({**schedule, "epsilon": epsilon})
            print(f"{len(kept)} of {SCHEDULES}: {epsilon:.4f}", file=sys.stderr, flush=True)
    lines = ",\n".join(json.dumps(one) for one in kept)
    path.write_text(f"[\n{lines}\n]\n")


def compare(path: Path) -> None:
    """Print how far Consilium's epsilons are from those in a file."""
    from consilium.privacy.accounting import epsilon_spent
    from consilium.privacy.mechanism import SampledGaussian

    ratios = []
    started = time.perf_counter()
    for one in json.loads(path.read_text()):
        mechanisms = [SampledGaussian(**mechanism) for mechanism in one["mechanisms"]]
        ratios.append(epsilon_spent(mechanisms, one["delta"]) / one["epsilon"] - 1)
    seconds = time.perf_counter() - started
    print(
        f"{len(ratios)} schedules: {min(ratios):+.2%} to {max(ratios):+.2%} of dp-accounting's epsilon, "
        f"{seconds / len(ratios):.2f} s each"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["write", "compare"])
    parser.add_argument("file", type=Path, help="schedules with the epsilons of dp-accounting")
    options = parser.parse_args()
    {"write": write, "compare": compare}[options.action](options.file)
