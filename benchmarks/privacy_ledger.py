"""Time of a payment into a privacy ledger, beside that of a bare fsync on the same disk.

python benchmarks/privacy_ledger.py [FOLDER]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.ledger_entry import Payment
from consilium.privacy.mechanism import SampledGaussian

PATIENTS = [f"{number:032x}" for number in range(200)]
MECHANISM = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.04, steps=40)
REPEATS = 50
SIZES = (500, 2000)


def milliseconds(action: Callable[[int], object]) -> str:
    """Return median and 95th percentile of an action's time, and its mean processor time, as a text."""
    times = []
    before = time.process_time()
    for number in range(REPEATS):
        started = time.perf_counter()
        action(number)
        times.append(1000 * (time.perf_counter() - started))
    processor = 1000 * (time.process_time() - before) / REPEATS
    return (
        f"median {statistics.median(times):.2f} ms, 95 % within {sorted(times)[int(0.95 * REPEATS)]:.2f} ms, "
        f"processor {processor:.2f} ms"
    )


def main(folder: Path) -> None:
    """Measure on a disk."""
    with (folder / "bare").open("wb") as file:

        def write(number: int) -> None:
            file.write(bytes(400))
            file.flush()
            os.fsync(file.fileno())

        print(f"bare fsync of 400 bytes: {milliseconds(write)}")
    ledger = PrivacyLedger(folder / "state", b"benchmark")

    def pay(number: int) -> None:
        ledger.pay(Payment("job", "job", number, (MECHANISM,), 1e-3, PATIENTS))

    print(f"payment, up to {REPEATS} entries: {milliseconds(pay)}")
    entries = REPEATS
    for size in SIZES:
        for number in range(entries, size):
            pay(number)
        print(f"payment, {size} to {size + REPEATS} entries: {milliseconds(pay)}")
        entries = size + REPEATS


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", help="on the disk to measure; default: the temporary folder"
    )
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as temporary:
        main(Path(temporary))
