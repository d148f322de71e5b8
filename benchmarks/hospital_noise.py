"""Noise that hides whole hospitals: how much of it, by epsilon, alone and in the sum of secure aggregation.

    python benchmarks/hospital_noise.py

Prints, for 20 rounds and a delta of 1e-4, the noise multiplier z that the accountant finds, and the length of
the noise in the mean of several hospitals' updates, in norms that each update is clipped to: where each
hospital adds all of it to its own update, and where each adds a part so that the sum has it.
"""

from __future__ import annotations

import argparse
import math

from consilium.privacy.accounting import epsilon_spent, find_noise_multiplier
from consilium.privacy.hospital_noise import HospitalNoise

EPSILONS = (1.0, 8.0, 100.0, 1000.0)
HOSPITALS = (3, 10, 30)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--delta", type=float, default=1e-4)
    parser.add_argument("--weights", type=int, default=488_451, help="of the network; default: unet_small")
    options = parser.parse_args()
    columns = "".join(f" {f'own, {count}':>9} {f'sum, {count}':>9}" for count in HOSPITALS)
    print(f"{'epsilon':>8} {'reached':>8} {'z':>8}{columns}")
    for epsilon in EPSILONS:
        z = find_noise_multiplier(epsilon, options.delta, 1.0, options.rounds)
        mechanism = HospitalNoise(clip=1.0, noise_multiplier=z).mechanism.repeat(options.rounds)
        length = z * math.sqrt(options.weights)
        # All hospitals are honest and none drops out: each adds z / sqrt(count) to the sum of count updates.
        lengths = "".join(f" {length / math.sqrt(count):9.3g} {length / count:9.3g}" for count in HOSPITALS)
        reached = epsilon_spent([mechanism], options.delta)
        print(f"{epsilon:8g} {reached:8.4g} {z:8.4g}{lengths}")


if __name__ == "__main__":
    main()
