from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.data.split import split_patients
from consilium.errors import ConfigurationError


@dataclass(frozen=True)
class Visit:
    id: str
    patient: str


def _visits(counts):
    return [
        Visit(f"P{patient}-{visit}", f"P{patient}") for patient, n in counts.items() for visit in range(n)
    ]


cohorts = st.dictionaries(st.integers(0, 10_000), st.integers(1, 3), max_size=40).map(_visits)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


@given(cohorts, fractions, seeds)
def test_every_case_is_on_one_side_and_no_patient_on_both(cases, fraction, seed):
    split = split_patients(cases, validation_fraction=fraction, seed=seed)
    assert sorted(split.train + split.validation, key=lambda c: c.id) == sorted(cases, key=lambda c: c.id)
    assert not _patients(split.train) & _patients(split.validation)


@given(cohorts, fractions, seeds)
def test_the_share_is_kept_and_no_side_is_left_empty(cases, fraction, seed):
    split = split_patients(cases, validation_fraction=fraction, seed=seed)
    patients = len(_patients(cases))
    validated = len(_patients(split.validation))
    if patients >= 2:
        assert 1 <= validated < patients
        assert abs(validated - fraction * patients) <= 1
    else:
        assert validated == patients


@given(cohorts, fractions, seeds, st.randoms())
def test_the_order_of_the_cases_does_not_matter(cases, fraction, seed, random):
    shuffled = random.sample(cases, len(cases))
    assert split_patients(cases, validation_fraction=fraction, seed=seed) == split_patients(
        shuffled, validation_fraction=fraction, seed=seed
    )


@given(cohorts, fractions, seeds)
def test_a_patient_who_joins_moves_at_most_one_other(cases, fraction, seed):
    before = split_patients(cases, validation_fraction=fraction, seed=seed)
    after = split_patients([*cases, Visit("new", "new")], validation_fraction=fraction, seed=seed)
    moved = _patients(before.validation) ^ (_patients(after.validation) - {"new"})
    assert len(moved) <= 1


def test_seeds_differ():
    cases = _visits(dict.fromkeys(range(40), 1))
    validations = {split_patients(cases, validation_fraction=0.5, seed=seed).validation for seed in range(5)}
    assert len(validations) == 5


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20, float("nan")])
def test_a_share_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigurationError, match="above 0 and below 1"):
        split_patients([], validation_fraction=fraction, seed=0)


def _patients(cases):
    return {case.patient for case in cases}
