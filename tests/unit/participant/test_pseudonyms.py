"""Pseudonyms follow from the site's secret and say which kind of thing they stand for."""

import numpy as np
import pytest

from consilium.participant.pseudonyms import Pseudonyms

NORTH, SOUTH = Pseudonyms(b"north"), Pseudonyms(b"south")


def test_a_site_repeats_its_pseudonyms_and_no_other_site_has_them():
    assert Pseudonyms(b"north").patient("P-7") == NORTH.patient("P-7") != SOUTH.patient("P-7")
    assert NORTH.fingerprint != SOUTH.fingerprint
    assert "P-7" not in NORTH.patient("P-7") + NORTH.case("P-7")


def test_a_case_and_a_patient_of_one_name_differ():
    assert len({NORTH.case("P-7"), NORTH.patient("P-7"), f"{NORTH.seed('P-7'):032x}"}) == 3


def test_names_do_not_run_together():
    assert NORTH.seed("a", "bc") != NORTH.seed("ab", "c")


@pytest.mark.parametrize("key", [b"north", b"south", b"west"])
def test_consecutive_patients_are_spread_evenly(key):
    names = Pseudonyms(key)
    draws = np.array([names.draw(f"P-{number:03d}") for number in range(40)])
    assert ((draws >= 0) & (draws < 1)).all()
    counts, _ = np.histogram(draws, bins=4, range=(0, 1))
    assert np.abs(counts - 10).max() <= 2


def test_a_patient_without_a_number_is_drawn_too():
    assert 0 <= NORTH.draw("Anna") < 1
    assert NORTH.draw("Anna") != NORTH.draw("Eva")
