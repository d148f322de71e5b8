"""Hospitals whose patients pay, with an algorithm whose rounds all cost the same."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from toy_private import NOISE, STEPS, PrivateToySettings

from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.algorithms import DEFAULT_ALGORITHM
from consilium.participant.privacy_payments import PrivacyPayments
from consilium.participant.register_files import open_register, read_register
from consilium.participant.site_data import SiteData
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.mechanism import SampledGaussian
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

LEARNING = BrainTumorSettings()
ROUND = SampledGaussian(noise_multiplier=NOISE, sampling_rate=0.1, steps=STEPS)
DELTA = 1e-4


@dataclass(frozen=True)
class OfPatient:
    """A case; each patient has one, unless a test says otherwise."""

    patient: str
    case: str | None = None

    @property
    def id(self) -> str:
        return f"case of {self.patient}" if self.case is None else self.case


def cost(rounds: int) -> float:
    return epsilon_spent([ROUND.repeat(rounds)], DELTA)


FIVE_ROUNDS = (cost(5) + cost(6)) / 2
"""A budget that is enough for five rounds, and not for six."""


def hospital_in(folder: Path, **privacy: object) -> SiteSettings:
    demand = PrivacyDemand.parse({"level": "formal", "delta": DELTA, **privacy}, source="test")
    built = SiteSettings(dataset=folder, state_dir=folder / "state", privacy=demand)
    with open_register(built):
        pass
    return built


def payments(site, job="job-1", patients=("a", "b", "c"), run=None, **algorithm) -> PrivacyPayments:
    data = SiteData(tuple(OfPatient(patient) for patient in patients), ())  # type: ignore[arg-type]
    return PrivacyPayments(site, data, LEARNING, PrivateToySettings(**algorithm), job=job, run=run or job)


def ledger(site) -> PrivacyLedger:
    return PrivacyLedger(site.state_dir, read_register(site).ledger_key)


def refused(action) -> str:
    with pytest.raises(SiteRefusal) as refusal:
        action()
    assert refusal.value.code is RefusalCode.PRIVACY_BUDGET
    return refusal.value.public_reason


def plain(site, job="job-1", patients=("a", "b")) -> PrivacyPayments:
    data = SiteData(tuple(OfPatient(patient) for patient in patients), ())  # type: ignore[arg-type]
    return PrivacyPayments(site, data, LEARNING, DEFAULT_ALGORITHM, job=job, run=job)
