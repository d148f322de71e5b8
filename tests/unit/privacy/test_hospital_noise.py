"""Noise whose unit is the hospital: apart from what is about patients."""

import pytest

from consilium.errors import ConfigurationError
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.hospital_noise import HospitalNoise, RoundNoise
from consilium.privacy.ledger_entry import Payment
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.spending import group_patients, hospital_mechanisms
from privacy.ledgers import ledger, payment

NOISE = HospitalNoise(clip=0.5, noise_multiplier=2.0)


def hospital_payment(round_index=0, job="job-1"):
    return Payment(job, job, round_index, (NOISE.mechanism,), 1e-3, ("a", "b"), "hospital")


def test_a_round_is_one_gaussian_release_without_sampling():
    assert NOISE.mechanism.model_dump() == {"noise_multiplier": 2.0, "sampling_rate": 1.0, "steps": 1}


def test_payments_of_both_units_are_in_one_ledger_and_never_mixed(tmp_path):
    book = ledger(tmp_path)
    book.pay(payment(0))
    assert book.pay(hospital_payment(0)).attempt == 1
    assert book.pay(hospital_payment(0)).attempt == 2
    assert book.pay(payment(0)).attempt == 2
    content = ledger(tmp_path).read()
    assert [one.unit for one in content.entries] == ["patient", "hospital", "hospital", "patient"]
    assert hospital_mechanisms(content) == (NOISE.mechanism.repeat(2),)
    (group,) = group_patients(content)
    assert group.patients == {"a", "b", "c"}
    assert {one.sampling_rate for one in group.mechanisms} == {0.1}


def test_a_ledger_without_units_is_read_as_one_of_patients(tmp_path, monkeypatch):
    """As an earlier version wrote it: the text of an entry is what the chain covers."""
    from consilium.privacy.ledger_entry import LedgerEntry

    whole = LedgerEntry.model_dump_json
    with monkeypatch.context() as patched:
        patched.setattr(LedgerEntry, "model_dump_json", lambda self: whole(self, exclude={"unit"}))
        ledger(tmp_path).pay(payment(0))
    assert b"unit" not in ledger(tmp_path).path.read_bytes()
    (entry,) = ledger(tmp_path).read().entries
    assert entry.unit == "patient"


@pytest.mark.parametrize(
    ("changed", "looser"),
    [
        ({"noise_multiplier": 1.0}, True),
        ({"noise_multiplier": 3.0}, False),
        ({"epsilon": None}, True),
        ({"epsilon": 4.0}, False),
        ({"delta": 0.01}, True),
        ({"clip": 3.0}, False),
    ],
)
def test_what_makes_one_decision_looser_than_another(changed, looser):
    strict = HospitalNoise(clip=0.5, noise_multiplier=2.0, epsilon=5.0)
    assert strict.model_copy(update=changed).is_looser_than(strict) is looser


@pytest.mark.parametrize(
    ("own", "of_sum", "multiplier", "added"),
    [
        (NOISE, None, 2.0, True),
        (NOISE, 1.99, 2.0, True),
        (NOISE, 2.0, 2.0, False),
        (NOISE, 3.0, 3.0, False),
        (None, 3.0, 3.0, False),
    ],
)
def test_a_round_is_hidden_by_the_stronger_noise(own, of_sum, multiplier, added):
    chosen = RoundNoise.stronger(own, of_sum)
    assert chosen.mechanism == SampledGaussian(noise_multiplier=multiplier)
    assert chosen.added == (own if added else None)


def test_without_any_noise_nothing_hides_a_round():
    assert RoundNoise.stronger(None, None) is None


@pytest.mark.parametrize(
    "setting", [{"clip": 0.0}, {"noise_multiplier": 0.0}, {"clip": float("nan")}, {"x": 1}]
)
def test_a_setting_that_would_be_no_noise_is_an_error(setting):
    with pytest.raises(ConfigurationError):
        HospitalNoise.parse({"clip": 1.0, "noise_multiplier": 1.0, **setting}, source="test")


def test_the_documented_epsilon_of_twenty_rounds():
    spent = epsilon_spent([HospitalNoise(clip=1, noise_multiplier=4.0).mechanism.repeat(20)], 1e-4)
    assert spent == pytest.approx(4.36, abs=0.01)
