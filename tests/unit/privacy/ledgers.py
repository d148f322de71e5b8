"""Ledgers of tests."""

from pathlib import Path

from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.ledger_entry import Payment
from consilium.privacy.mechanism import SampledGaussian

KEY = b"north" * 6
ROUND = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=40)


def ledger(folder: Path, key: bytes = KEY) -> PrivacyLedger:
    return PrivacyLedger(folder, key)


def payment(
    round_index: int = 0,
    *patients: str,
    job: str = "job-1",
    run: str | None = None,
    mechanism: SampledGaussian = ROUND,
) -> Payment:
    return Payment(job, run or job, round_index, (mechanism,), 1e-3, patients or ("a", "b", "c"))
