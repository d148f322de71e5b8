import re

import pytest
from data.hospital import NAMES_2018, NAMES_2023

from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.errors import DataError
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.segmentation.codes import VolumeCode

DECIDES = (
    r"consilium check DIR --convention .*consilium simulate .* --convention SITE=.*property label_convention "
    r".*local/privacy\.json.*brats-2015, brats-2018, brats-2023, brats-2024, brats-ped-2024, decathlon"
)
PEDIATRIC = "BraTS-PED-{:05}-000"


def _read(hospital, names, labels, convention=None, ids="{}"):
    """A hospital with one case for each set of label values: 1, 2, 3..."""
    for number, values in enumerate(labels, start=1):
        hospital.brats(ids.format(number), values, names=names)
    return read_cohort(hospital.folder, case_format=CASES, convention=convention)


def _doubts(cohort):
    return [one.detail for one in cohort.notices if one.code is DataCode.DOUBTFUL_CONVENTION]


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


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("names", "labels", "evidence"),
    [
        (
            NAMES_2018,
            [(1, 2, 3), (2, 3), (1, 2)],
            "2 of 3 labels hold 3 and none holds 4.*brats-2023",
        ),
        (NAMES_2018, [(1, 2, 4), (2, 3, 4)], "1 of 2 labels holds 3 and 4 together.*brats-2024.*brats-2018"),
        # The cavity of a 4 would become enhancing tumor.
        (
            NAMES_2018,
            [(1, 2, 3), (1, 2, 4), (1, 2, 3)],
            "2 of 3 labels hold 3, 1 holds 4, none holds both.*brats-2024.*brats-2018",
        ),
        (
            NAMES_2018,
            [(1, 2, 4), (1, 2, 4), (1, 2, 3)],
            "1 of 3 labels holds 3, 2 hold 4.*cavity.*brats-2018",
        ),
        (
            NAMES_2023,
            [(1, 2, 4), (2, 3)],
            "1 of 2 labels holds 4, 1 holds 3, and none.*cavity.*enhancing tumor",
        ),
        (
            NAMES_2023,
            [(1, 2, 4), (1, 2)],
            "1 of 2 labels holds 4, none holds 3, and none.*cavity.*enhancing tumor",
        ),
        # One faulty label would make a cavity of the enhancing tumor of all others.
        (
            NAMES_2023,
            [(1, 2, 4)] * 20 + [(1, 2, 3, 4)],
            "all 21 labels hold 4, 1 holds 3, and 1 holds both.*cavity.*enhancing tumor",
        ),
        (
            NAMES_2023,
            [(1, 2, 4)] * 3 + [(1, 2, 3, 4)] * 2,
            "all 5 labels hold 4, 2 hold 3, and 2 hold both.*cavity.*enhancing tumor",
        ),
    ],
)
def test_two_readings_are_an_error_that_says_who_decides(hospital, names, labels, evidence):
    with pytest.raises(DataError, match=f"{evidence}.*{DECIDES}"):
        _read(hospital, names, labels)


@pytest.mark.parametrize(
    ("names", "usual", "stray", "convention"),
    [
        (NAMES_2018, (1, 2, 4), (1, 2, 3), LabelConvention.BRATS_2018),
        (NAMES_2018, (1, 2, 4), (1, 2, 3, 4), LabelConvention.BRATS_2018),
        (NAMES_2023, (1, 2, 3), (1, 2, 4), LabelConvention.BRATS_2023),
    ],
)
def test_single_cases_of_another_convention_are_left_out(hospital, names, usual, stray, convention):
    cohort = _read(hospital, names, [usual] * 10 + [stray], ids="{:02}")
    assert (cohort.convention, len(cohort.cases)) == (convention, 10)
    assert [(p.case_id, p.code) for p in cohort.problems] == [("11", VolumeCode.OTHER_CONVENTION)]


@pytest.mark.parametrize("names", [NAMES_2018, NAMES_2023])
@pytest.mark.parametrize(("value", "number"), [(1, 3), (2, 6)])
def test_masks_of_one_region_are_not_read_as_one_tissue(hospital, names, value, number):
    with pytest.raises(
        FolderError, match=f"all {number} labels hold {value} and nothing else.*whole tumor.*{DECIDES}"
    ):
        _read(hospital, names, [(value,)] * number)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("names", "labels", "lacking"),
    [
        (NAMES_2018, [(1, 2)] * 10, "enhancing tumor .4 in brats-2018.; they hold 1, 2"),  # 4 written as 1
        (NAMES_2018, [(1, 2)] * 5 + [(2,)] * 5, "enhancing tumor .4 in brats-2018.; they hold 1, 2"),
        (NAMES_2018, [(1, 4)] * 10, "edema .2 in brats-2018.; they hold 1, 4"),
        (NAMES_2018, [(2, 4)] * 10, "necrotic or non-enhancing core .1 in brats-2018.; they hold 2, 4"),
        (NAMES_2023, [(1, 2)] * 10, "enhancing tumor .3 in brats-2023.; they hold 1, 2"),
        (NAMES_2023, [(1, 3)] * 10, "edema .2 in brats-2023.; they hold 1, 3"),
        (NAMES_2023, [(2, 3, 4)] * 20, "necrotic or non-enhancing core .1 in brats-2024."),  # shifted by one
    ],
)
def test_a_tissue_that_no_label_of_a_site_holds_is_an_error(hospital, names, labels, lacking):
    with pytest.raises(
        FolderError, match=f"none of {len(labels)} labels holds {lacking}.*Either.*or.*{DECIDES}"
    ):
        _read(hospital, names, labels)


@pytest.mark.parametrize(
    ("usual", "stray", "seen"),
    [
        ((1, 2), (1, 2, 4), "1 of 21 labels holds enhancing tumor .4 in brats-2018."),
        ((1, 4), (1, 2, 4), "1 of 21 labels holds edema .2 in brats-2018."),
        ((1,), (1, 2, 4), "20 of 21 labels hold 1 and nothing else"),
    ],
)
def test_one_faulty_label_does_not_hide_what_all_others_lack(hospital, usual, stray, seen):
    with pytest.raises(FolderError, match=f"{seen}.*Either.*or.*{DECIDES}"):
        _read(hospital, NAMES_2018, [usual] * 20 + [stray])


def test_a_stated_resection_cavity_in_place_of_all_enhancing_tumor_is_a_warning(hospital):
    cohort = _read(hospital, NAMES_2023, [(1, 2, 4)] * 20 + [(1, 2, 3, 4)], LabelConvention.BRATS_2024)
    assert "1 of 21 labels holds enhancing tumor" in _doubts(cohort)[0]


# Three patients with low-grade gliomas that don't enhance are no reason to stop a site.
@pytest.mark.parametrize(
    "labels",
    [
        [(1,), ()],
        [(1,)],
        [(1, 2)] * 2,
        [(1, 2), (2,), ()],
        [(1, 2)] * 4,
        [(1, 4)] * 3,
    ],
)
def test_what_chance_can_explain_is_a_warning_that_shows_both_readings(hospital, labels):
    cohort = _read(hospital, NAMES_2018, labels, ids="{:02}")
    assert (cohort.convention, len(cohort.cases)) == (LabelConvention.BRATS_2018, len(labels))
    (doubt,) = _doubts(cohort)
    assert re.search(r"\. Either they are .*; or .*\. State it .*--convention", doubt)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("names", "usual", "stray", "convention"),
    [
        (NAMES_2018, (1, 2, 4), (1, 2, 3), LabelConvention.BRATS_2018),
        (NAMES_2018, (1, 2, 4), (1, 2, 3, 4), LabelConvention.BRATS_2018),
        (NAMES_2023, (1, 2, 3), (1, 2, 4), LabelConvention.BRATS_2023),
    ],
)
@pytest.mark.parametrize("number", [3, 4, 8])
def test_a_single_foreign_label_is_a_faulty_case_at_a_small_site_too(
    hospital, names, usual, stray, convention, number
):
    cohort = _read(hospital, names, [usual] * number + [stray])
    assert (cohort.convention, len(cohort.cases)) == (convention, number)
    assert [one.code for one in cohort.problems] == [VolumeCode.OTHER_CONVENTION]


@pytest.mark.parametrize(
    ("labels", "seen"),
    [
        ([(1,)], "the only label holds 1 and nothing else"),
        ([(1, 2)], "the only label does not hold enhancing tumor"),
        ([(1, 2)] * 2, "none of 2 labels holds enhancing tumor"),
    ],
)
def test_few_labels_are_counted_in_words_that_fit(hospital, labels, seen):
    assert _doubts(_read(hospital, NAMES_2018, labels))[0].startswith(seen)


def test_what_the_site_states_is_followed_with_a_warning(hospital):
    cohort = _read(hospital, NAMES_2018, [(1, 2)] * 6, LabelConvention.BRATS_2018)
    assert len(cohort.cases) == 6
    assert "none of 6 labels holds enhancing tumor" in _doubts(cohort)[0]


def test_one_enhancing_tumor_at_a_site_is_enough(hospital):
    cohort = _read(hospital, NAMES_2018, [(1, 2)] * 6 + [(1, 2, 4)])
    assert (cohort.convention, _doubts(cohort)) == (LabelConvention.BRATS_2018, [])


@pytest.mark.parametrize("names", [NAMES_2018, NAMES_2023])
def test_pediatric_names_with_edema_as_4_are_read_as_they_are_numbered(hospital, names):
    cohort = _read(hospital, names, [(1, 2, 3, 4), (1, 2), (2, 3)], ids=PEDIATRIC)
    assert cohort.convention == LabelConvention.BRATS_PED_2024
    assert (len(cohort.cases), _doubts(cohort)) == (3, [])


@pytest.mark.parametrize("names", [NAMES_2018, NAMES_2023])
@pytest.mark.parametrize("labels", [[(1, 2, 3)], [(1, 2, 3)] * 10 + [(1, 2, 4)], [(1, 2)] * 2])
def test_pediatric_names_without_a_4_have_two_readings(hospital, names, labels):
    with pytest.raises(FolderError, match=f"BraTS-PEDs.*brats-ped-2024.*brats-2023.*{DECIDES}"):
        _read(hospital, names, labels, ids=PEDIATRIC)


def test_what_a_pediatric_site_states_is_followed(hospital):
    cohort = _read(hospital, NAMES_2023, [(1, 2, 3)] * 2, LabelConvention.BRATS_2023, ids=PEDIATRIC)
    assert (cohort.convention, len(cohort.cases)) == (LabelConvention.BRATS_2023, 2)


def test_pediatric_cases_among_adults_are_rejected(hospital):
    hospital.brats("BraTS-PED-00001-000", (1, 2, 3, 4), names=NAMES_2023)
    hospital.brats("BraTS-GLI-00001-000", (1, 2, 3), names=NAMES_2023)
    with pytest.raises(FolderError, match=r"1 of 2 labeled cases are named BraTS-PED.*folder of their own"):
        read_cohort(hospital.folder, case_format=CASES)


@pytest.mark.parametrize("kind", ["GLI", "MEN", "MET", "SSA", "GoAT"])
def test_case_ids_since_2023_count_as_names_of_that_year(hospital, kind):
    # Under _seg names {1, 2, 3} alone would have two readings.
    cohort = _read(hospital, NAMES_2018, [(1, 2, 3), (2, 3)], ids=f"BraTS-{kind}-0000{{}}-000")
    assert cohort.convention == LabelConvention.BRATS_2023


@pytest.mark.parametrize("kind", ["MEN", "SSA"])
def test_there_is_no_cavity_before_treatment(hospital, kind):
    with pytest.raises(FolderError, match=f"before treatment.*{DECIDES}"):
        _read(hospital, NAMES_2023, [(1, 2, 3, 4), (1, 2, 4)], ids=f"BraTS-{kind}-0000{{}}-000")


def test_a_value_of_no_convention_does_not_influence_the_others(hospital):
    # With the 4 of the second the site would be ambiguous.
    cohort = _read(hospital, NAMES_2023, [(1, 2, 3), (4, 7)])
    assert cohort.convention == LabelConvention.BRATS_2023
    assert [(p.case_id, p.code) for p in cohort.problems] == [("2", VolumeCode.BAD_LABEL_VALUE)]
    assert "holds 7" in cohort.problems[0].detail


def test_what_the_site_states_is_followed(hospital):
    cohort = _read(hospital, NAMES_2018, [(1, 2, 3), (1, 2), (1, 2, 4)], LabelConvention.BRATS_2023)
    assert cohort.convention == LabelConvention.BRATS_2023
    assert [case.id for case in cohort.cases] == ["1", "2"]
    assert [(p.case_id, p.code) for p in cohort.problems] == [("3", VolumeCode.OTHER_CONVENTION)]


def test_unlabeled_cases_stay_beside_labeled_ones(hospital):
    cohort = _read(hospital, NAMES_2018, [(1, 2, 4), None])
    assert [(case.id, case.target is None) for case in cohort.cases] == [("1", False), ("2", True)]


@pytest.mark.parametrize("case_id", ["train_BraTS-PED-00001-000", "BraTS_PEDs_1", "bratsped-1"])
def test_pediatric_names_are_known_in_other_spellings(hospital, case_id):
    hospital.brats(case_id, (1, 2, 3))
    with pytest.raises(FolderError, match="BraTS-PEDs"):
        read_cohort(hospital.folder, case_format=CASES)
