import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.data.split import SetShares, Sides
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
keys = st.binary(min_size=1, max_size=32)


def pseudonyms(key):
    return lambda patient: hashlib.blake2b(patient.encode(), key=key, digest_size=16).hexdigest()


def split(cases, fraction, key, sides=Sides(), by_draw=False):  # noqa: B008 - frozen
    """Split into two sets: nobody is tested on."""
    return split_by(cases, SetShares(fraction, 0), key, sides, by_draw)


def split_by(cases, shares, key, sides=Sides(), by_draw=False):  # noqa: B008 - frozen
    pseudonym = pseudonyms(key)
    present = {}
    for case in cases:
        present.setdefault(pseudonym(case.patient), set()).add(pseudonym(f"case {case.id}"))
    draws = {name: int(name, 16) / 16**32 for name in present}
    sides = sides.settle(present, shares, draws=draws if by_draw else None)
    return sides.divide(cases, pseudonym), sides


def _patients(cases):
    return {case.patient for case in cases}


@given(cohorts, fractions, keys, st.booleans())
def test_every_case_is_on_one_side_and_no_patient_on_both(cases, fraction, key, by_draw):
    both, _ = split(cases, fraction, key, by_draw=by_draw)
    assert sorted(both.train + both.validation, key=lambda c: c.id) == sorted(cases, key=lambda c: c.id)
    assert not _patients(both.train) & _patients(both.validation)


@given(cohorts, fractions, keys)
def test_the_share_is_kept_and_no_side_is_left_empty(cases, fraction, key):
    both, _ = split(cases, fraction, key)
    patients = len(_patients(cases))
    validated = len(_patients(both.validation))
    if patients >= 2:
        assert 1 <= validated < patients
        assert abs(validated - fraction * patients) <= 1
    else:
        assert validated == patients


@given(cohorts, fractions, keys)
def test_without_a_memory_no_side_is_left_empty_either(cases, fraction, key):
    both, _ = split(cases, fraction, key, by_draw=True)
    patients = len(_patients(cases))
    validated = len(_patients(both.validation))
    assert 1 <= validated < patients if patients >= 2 else validated == patients


@given(cohorts, cohorts, fractions, keys)
def test_without_a_memory_a_newcomer_moves_nobody_but_who_kept_a_side_from_being_empty(
    first, second, fraction, key
):
    before, _ = split(first, fraction, key, by_draw=True)
    after, _ = split(first + second, fraction, key, by_draw=True)
    moved = (_patients(before.train) & _patients(after.validation)) | (
        _patients(before.validation) & _patients(after.train)
    )
    assert len(moved) <= 1
    if moved:
        assert min(len(_patients(before.train)), len(_patients(before.validation))) <= 1


@given(cohorts, fractions, keys, st.data())
def test_who_turns_out_to_be_one_patient_is_trained_on_if_any_of_it_was(cases, fraction, key, data):
    before, sides = split(cases, fraction, key)
    same = data.draw(st.sets(st.sampled_from(cases), min_size=2)) if len(cases) > 1 else set()
    declared = [Visit(case.id, "one" if case in same else case.patient) for case in cases]
    after, merged = split(declared, fraction, key, sides)
    trained = {case.id for case in after.train}
    assert not _patients(after.train) & _patients(after.validation)
    assert {case.id for case in before.train} <= trained
    if same and not {case.id for case in before.train} & {case.id for case in same}:
        assert not {case.id for case in same} & trained
    again, _ = split(cases, fraction, key, merged)  # the hospital takes it back
    assert trained <= {case.id for case in again.train}


@given(cohorts, fractions, keys, st.randoms())
def test_the_order_of_the_cases_does_not_matter(cases, fraction, key, random):
    assert split(cases, fraction, key) == split(random.sample(cases, len(cases)), fraction, key)


@given(st.lists(st.tuples(cohorts, fractions), min_size=2, max_size=6), keys)
def test_nobody_ever_changes_sides(jobs, key):
    sides, seen = Sides(), {}
    for cases, fraction in jobs:
        both, sides = split(cases, fraction, key, sides)
        for side, of_side in (("train", both.train), ("validation", both.validation)):
            for patient in _patients(of_side):
                assert seen.setdefault(patient, side) == side


@given(cohorts, cohorts, fractions, keys)
def test_newcomers_fill_the_side_that_lacks_patients(first, second, fraction, key):
    _, sides = split(first, fraction, key)
    everybody = [*first, *(case for case in second if case.patient not in _patients(first))]
    both, _ = split(everybody, fraction, key, sides)
    before, _ = split(first, fraction, key)
    wanted = max(1, min(round(fraction * len(_patients(everybody))), len(_patients(everybody)) - 1))
    came = len(_patients(everybody)) - len(_patients(first))
    already = len(_patients(before.validation))
    assert len(_patients(both.validation)) == min(max(already, wanted), already + came)


def test_without_the_key_nobody_knows_the_split():
    cases = _visits(dict.fromkeys(range(40), 1))
    validations = {split(cases, 0.5, bytes([key]))[0].validation for key in range(5)}
    assert len(validations) == 5


@pytest.mark.parametrize("fraction", [1, -0.1, 20, float("nan")])
def test_a_share_out_of_range_is_rejected(fraction):
    with pytest.raises(ConfigurationError, match="together below 1"):
        SetShares(fraction, 0)


minimums = st.integers(1, 5)
shares = st.builds(
    lambda validation, test, minimum: SetShares(validation, test, minimum),
    st.floats(0, 0.5),
    st.floats(0, 0.49),
    minimums,
)
SETS = ("train", "validation", "test")


def sets(cases, shares, key, sides=Sides(), by_draw=False):  # noqa: B008 - frozen
    """The set of each patient, and what is remembered."""
    three, sides = split_by(cases, shares, key, sides, by_draw)
    return {case.patient: name for name in SETS for case in getattr(three, name)}, sides


@given(cohorts, shares, keys, st.booleans())
def test_every_case_is_in_one_set_and_no_set_is_too_small_to_report_on(cases, shares, key, by_draw):
    three, _ = split_by(cases, shares, key, by_draw=by_draw)
    assert sorted([*three.train, *three.validation, *three.test], key=lambda c: c.id) == sorted(
        cases, key=lambda c: c.id
    )
    found = [_patients(getattr(three, name)) for name in SETS]
    assert sum(map(len, found)) == len(_patients(cases))
    if len(_patients(cases)) > 1:
        assert found[0]
        assert all(not held or len(held) >= shares.minimum for held in found[1:])


@pytest.mark.parametrize(
    ("patients", "expected"),
    [(1, (1, 0, 0)), (2, (2, 0, 0)), (5, (5, 0, 0)), (6, (3, 0, 3)), (11, (8, 0, 3)), (12, (6, 3, 3))],
)
@pytest.mark.parametrize("by_draw", [False, True])
def test_a_small_hospital_has_a_test_set_before_it_has_a_validation_set(patients, expected, by_draw):
    found, _ = sets(
        _visits(dict.fromkeys(range(patients), 3)), SetShares(0.15, 0.2, 3), b"key", by_draw=by_draw
    )
    assert tuple(list(found.values()).count(name) for name in SETS) == expected


@given(st.lists(st.tuples(cohorts, shares), min_size=2, max_size=6), keys)
def test_nobody_ever_changes_sets_whatever_the_shares_become(jobs, key):
    sides, seen = Sides(), {}
    for cases, shares in jobs:
        found, sides = sets(cases, shares, key, sides)
        for patient, name in found.items():
            assert seen.setdefault(patient, name) == name


@given(cohorts, shares, keys, st.data())
def test_of_two_patients_who_are_one_the_set_counts_that_a_model_knows_best(cases, shares, key, data):
    before, sides = sets(cases, shares, key)
    same = data.draw(st.sets(st.sampled_from(cases), min_size=2)) if len(cases) > 1 else set()
    declared = [Visit(case.id, "one" if case in same else case.patient) for case in cases]
    after, merged = sets(declared, shares, key, sides)
    if same:
        assert after["one"] == min((before[case.patient] for case in same), key=SETS.index)
    again, _ = sets(cases, shares, key, merged)  # the hospital takes it back
    for case in cases:
        assert SETS.index(again[case.patient]) <= SETS.index(before[case.patient])


@given(cohorts, cohorts, keys)
def test_after_an_upgrade_nobody_of_before_is_tested_on_and_newcomers_fill_the_test_set(first, second, key):
    before, sides = sets(first, SetShares(0.25, 0), key)
    everybody = [*first, *(case for case in second if case.patient not in before)]
    shares = SetShares(0.15, 0.2, 3)
    after, _ = sets(everybody, shares, key, sides)
    assert before.items() <= after.items()
    wanted, came = shares.sizes(len(after))[0], len(after) - len(before)
    assert list(after.values()).count("test") == min(wanted, came) or not before


@given(cohorts, st.floats(0.01, 0.4), st.floats(0.01, 0.4), keys)
def test_two_shares_train_on_the_patients_that_one_of_both_would(cases, validation, test, key):
    """What a simulation trains on depends on the sum of both shares alone, where no set is too small."""
    shares = SetShares(validation, test)
    three, _ = split_by(cases, shares, key, by_draw=True)
    draws = {patient: int(pseudonyms(key)(patient), 16) / 16**32 for patient in _patients(cases)}
    held = {patient for patient, draw in draws.items() if draw < test + validation}
    if three.validation and three.test and len(held) == len(_patients(three.validation + three.test)):
        assert _patients(three.train) == draws.keys() - held
