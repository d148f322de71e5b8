"""Follow-up names: what groups by itself, what is asked about, and what only numbers patients."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.data.visits import PatientNames

NAMES = PatientNames()


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429"),
        ("100118_time2", "100118"),
        ("Patient-001_week-012", "Patient-001"),
        ("Patient-001_week-000-1", "Patient-001"),
        ("PatientID_0003_Timepoint_2", "PatientID_0003"),
        ("sub-01_ses-02", "sub-01"),
        ("sub-mueller_ses-baseline_run-1", "sub-mueller"),
        ("P012_ses-baseline", "P012"),
        ("P012-followup", "P012"),
        ("P012_visit2_week-12", "P012"),
    ],
)
def test_a_follow_up_whose_name_means_one_thing_is_of_its_patient(case, patient):
    assert NAMES.patient_of(case) == patient
    assert NAMES.patient_of(patient) == patient


@pytest.mark.parametrize(
    "case",
    [
        "BraTS20_Training_001",
        "BraTS2021_00001",
        "Brats18_2013_10_1",
        "BraTS-GLI-00005",
        "BraTS-GLI-00005-100",  # of a collection that no problem has stated
        "UPENN-GBM-00002_11",
        "BRATS_001",
        "UCSF-PDGM-0004",
        "TCGA-02-0006",
        "sub-01",
        "visit_2",
        "glioma_visit2",
        "scan1",
        "P012_1",
        "P012_20190304",
        "mueller",
        "",
    ],
)
def test_other_names_are_patients_of_their_own(case):
    assert NAMES.patient_of(case) == case


@pytest.mark.parametrize(
    "visits",
    [
        ["P012_0", "P012_1"],
        ["P012-01", "P012-02"],
        ["KH01-00005-000", "KH01-00005-001"],
        ["P012a", "P012b"],
        ["P012_20190304", "P012_20200101"],
        ["P012_2019-03-04", "P012_2020.01.01"],
        ["P012_2019", "P012_2020"],
        ["20190304_P012", "20200101_P012"],
        ["P012", "P012_20200101"],
        ["P012", "P012_2"],
        ["P012_pre", "P012_post"],
        ["P012_scan1", "P012_scan2"],
        ["P012_tp1", "P012_tp2"],
        ["P012_v1", "P012_v2"],
        ["P012_20190304_MR", "P012_20200101_MR"],
        ["P012_20190304T1030", "P012_20200101T0915"],
        ["mueller_ses-1", "mueller_ses-2"],
        ["mueller_20190304", "mueller_20200101"],
    ],
)
def test_names_that_may_be_visits_are_asked_about(visits):
    (group,) = NAMES.possible_visits([*visits, "Q7_0", "R8"]).values()
    assert group == sorted(visits)


def test_one_patient_with_all_visits_of_a_site_is_asked_about():
    visits = [f"P012_2019-01-{day}" for day in range(10, 15)]
    assert NAMES.possible_visits(visits) == {"P012": visits}


def test_visits_that_several_names_number_are_asked_about():
    names = ["mueller_0", "mueller_1", "schmidt_0", "schmidt_1"]
    assert sorted(NAMES.possible_visits(names)) == ["mueller", "schmidt"]


@pytest.mark.parametrize(
    "pattern",
    [
        "BraTS20_Training_{:03}",
        "BraTS2021_{:05}",
        "Brats18_2013_{}_1",
        "Brats18_CBICA_A{}_1",
        "BRATS_{:03}",
        "UCSF-PDGM-{:04}",
        "hospital1_{:03}",
        "patient{}",
        "glioma_{}",
        "MR_201903{:02}",
        "scan-{}",
        "A{:02}",
    ],
)
def test_numbered_patients_are_not_asked_about(pattern):
    names = [pattern.format(number) for number in range(10, 32)]
    assert NAMES.possible_visits(names) == {}
    assert {NAMES.patient_of(name) for name in names} == set(names)


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_name_has_a_patient(names):
    for name in names:
        assert NAMES.patient_of(NAMES.patient_of(name)) == NAMES.patient_of(name)
    for group in NAMES.possible_visits(names).values():
        assert len(group) > 1
        assert set(group) <= set(names)


def test_no_name_is_slow():
    for pattern in NAMES.follow_ups.values():
        assert not pattern.fullmatch("1_-. " * 50 + "\0")
    assert NAMES.possible_visits(["1_-. " * 50 + "\0"]) == {}


@pytest.mark.parametrize(
    "pair", [("PAT-007", "pat-007"), ("M\u00fcller", "Mu\u0308ller"), ("STRASSE_A", "stra\u00dfe_a")]
)
def test_ids_that_look_like_one_may_be_one_patient(pair):
    assert sorted(pair) in NAMES.possible_visits([*pair, "other"]).values()


LUNGS = PatientNames({"Lungs": r"(?P<patient>LUNG-\d+)_\d+"}, sorting=("lung",))


def test_a_problem_adds_the_names_of_its_collections():
    names = ("lung-0001_2", "LUNG-0001_2_ses-1", "sub-07_ses-02", "P012_2")
    assert [LUNGS.patient_of(name) for name in names] == ["lung-0001", "LUNG-0001", "sub-07", "P012_2"]


def test_folders_that_a_problem_knows_to_sort_patients_are_no_patients():
    places = {name: Path(folder) for name, folder in zip("ABCD", ["Lung1", "Lung1", "P2", "P2"], strict=True)}
    assert NAMES.shared_folders(places) == {"Lung1": ["A", "B"], "P2": ["C", "D"]}
    assert LUNGS.shared_folders(places) == {"P2": ["C", "D"]}


def test_names_reach_the_processes_that_read_cases():
    LUNGS.patient_of("LUNG-0001_2")
    assert pickle.loads(pickle.dumps(LUNGS)) == LUNGS
