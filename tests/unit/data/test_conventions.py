import pytest

from consilium.data.case import ProblemCode
from consilium.data.cohort import read_cohort
from consilium.data.labels import LabelConvention
from consilium.errors import DataError

from .hospital import MODALITIES, NAMES_2018, NAMES_2023

DECIDES = r"property label_convention .*local/privacy\.json.*brats-2018, brats-2023, brats-2024, decathlon"


def _read(hospital, names, labels, convention=None):
    """A hospital with one case for each set of label values: A, B, C..."""
    for case_id, values in zip("ABCDEFG", labels, strict=False):
        hospital.brats(case_id, values, names=names)
    return read_cohort(hospital.folder, modalities=MODALITIES, convention=convention)


@pytest.mark.parametrize(
    ("names", "labels", "convention"),
    [
        (NAMES_2018, [(1, 2, 4), (1, 2)], LabelConvention.BRATS_2018),
        (NAMES_2018, [(2,), ()], LabelConvention.BRATS_2018),
        (NAMES_2023, [(1, 2, 3), (1, 2)], LabelConvention.BRATS_2023),
        (NAMES_2023, [(2,), ()], LabelConvention.BRATS_2023),
        (NAMES_2023, [(1, 2, 3), (2, 3, 4), (4,)], LabelConvention.BRATS_2024),
        (NAMES_2018, [None, None], None),
    ],
)
def test_names_and_values_tell_the_convention(hospital, names, labels, convention):
    cohort = _read(hospital, names, labels)
    assert cohort.convention == convention
    assert (len(cohort.cases), cohort.problems) == (len(labels), ())


@pytest.mark.parametrize(
    ("names", "labels", "evidence"),
    [
        (
            NAMES_2018,
            [(1, 2, 3), (2, 3), (1, 2)],
            "2 of 3 labels hold 3 and none holds 4.*brats-2023",
        ),
        (NAMES_2018, [(1, 2, 4), (2, 3, 4)], "1 of 2 labels hold 3 and 4 together.*renamed brats-2024"),
        (NAMES_2023, [(1, 2, 4), (2, 3)], "1 of 2 labels hold 4, 1 hold 3, and none.*cavity.*enhancing"),
        (NAMES_2023, [(1, 2, 4), (1, 2)], "1 of 2 labels hold 4, 0 hold 3, and none.*cavity.*enhancing"),
    ],
)
def test_two_readings_are_an_error_that_says_who_decides(hospital, names, labels, evidence):
    with pytest.raises(DataError, match=f"{evidence}.*{DECIDES}"):
        _read(hospital, names, labels)


def test_single_cases_of_another_convention_are_left_out(hospital):
    cohort = _read(hospital, NAMES_2018, [(1, 2, 4), (1, 2, 4), (1, 2, 3)])
    assert cohort.convention == LabelConvention.BRATS_2018
    assert [case.id for case in cohort.cases] == ["A", "B"]
    assert [(p.case_id, p.code) for p in cohort.problems] == [("C", ProblemCode.OTHER_CONVENTION)]


def test_a_value_of_no_convention_does_not_influence_the_others(hospital):
    # With the 4 of B the site would be ambiguous.
    cohort = _read(hospital, NAMES_2023, [(1, 2, 3), (4, 7)])
    assert cohort.convention == LabelConvention.BRATS_2023
    assert [(p.case_id, p.code) for p in cohort.problems] == [("B", ProblemCode.BAD_LABEL_VALUE)]
    assert "holds 7" in cohort.problems[0].detail


def test_what_the_site_states_is_followed(hospital):
    cohort = _read(hospital, NAMES_2018, [(1, 2, 3), (1, 2), (1, 2, 4)], LabelConvention.BRATS_2023)
    assert cohort.convention == LabelConvention.BRATS_2023
    assert [case.id for case in cohort.cases] == ["A", "B"]
    assert [(p.case_id, p.code) for p in cohort.problems] == [("C", ProblemCode.OTHER_CONVENTION)]


def test_unlabeled_cases_stay_beside_labeled_ones(hospital):
    cohort = _read(hospital, NAMES_2018, [(1, 2, 4), None])
    assert [(case.id, case.label is None) for case in cohort.cases] == [("A", False), ("B", True)]
