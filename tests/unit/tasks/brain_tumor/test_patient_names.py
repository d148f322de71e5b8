"""Patients of public collections: whom each name belonged to since the first split stays so."""

import csv
from pathlib import Path

import pytest
from data.hospital import Hospital

from consilium.data.cohort import find_cases, read_cohort
from consilium.data.visits import PatientNames
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.patient_names import PATIENT_NAMES
from consilium.tasks.brain_tumor.vocabulary import WORDS

TABLE = Path(__file__).parent / "patients_by_name.tsv"
"""Made before the patterns were the task's. Lines may be added; none may change, as splits are permanent."""
PATIENTS = {
    row["case"]: row["patient"] for row in csv.DictReader(TABLE.read_text().splitlines(), delimiter="\t")
}
OF_COLLECTIONS = {
    "BraTS-GLI-00005-100": "BraTS-GLI-00005",
    "BraTSReg_001_01_0106": "BraTSReg_001",
    "UPENN-GBM-00002_21": "UPENN-GBM-00002",
    "UCSD-PTGBM-0002_01": "UCSD-PTGBM-0002",
    "RHUH-0001_2": "RHUH-0001",
    "TCGA-02-0006_1996.08.23": "TCGA-02-0006",
    "C3L-00016_2001-02-03": "C3L-00016",
    "W39_1998.09.19": "W39",
}


def test_every_name_has_the_patient_that_it_had():
    assert {name: PATIENT_NAMES.patient_of(name) for name in PATIENTS} == PATIENTS


def test_the_table_has_follow_ups_of_every_collection():
    for name, pattern in PATIENT_NAMES.follow_ups.items():
        assert any(pattern.fullmatch(case) for case, patient in PATIENTS.items() if case != patient), name
    assert OF_COLLECTIONS.items() <= PATIENTS.items()


@pytest.mark.parametrize("case", OF_COLLECTIONS)
def test_other_problems_do_not_know_the_collections(case):
    assert PatientNames().patient_of(case) == case


@pytest.mark.parametrize("layout", ["brats", "decathlon"])
def test_cases_are_grouped_alike_with_and_without_targets(tmp_path, layout):
    hospital = Hospital(tmp_path / "data")
    for case in OF_COLLECTIONS:
        getattr(hospital, layout)(case)
    if layout == "decathlon":
        (hospital.folder / "dataset.json").write_text(WORDS.decathlon_example)
    for cohort in (
        read_cohort(hospital.folder, case_format=CASES),
        find_cases(hospital.folder, case_format=CASES),
    ):
        assert {case.id: case.patient for case in cohort.cases} == OF_COLLECTIONS


def test_names_that_may_be_visits_are_those_that_were():
    cases = ["BraTS-GLI-00005-100", "BraTS-GLI-00005", "P012_1", "P012_2", "BraTS20_Training_001"]
    assert PATIENT_NAMES.possible_visits(cases) == {
        "BraTS-GLI-00005": ["BraTS-GLI-00005", "BraTS-GLI-00005-100"],
        "P012": ["P012_1", "P012_2"],
    }


@pytest.mark.parametrize("folder", ["HGG1", "lgg_2", "BraTS2020"])
def test_folders_of_a_challenge_are_no_patients(folder):
    places = {"A": Path(folder), "B": Path(folder), "C": Path("P07"), "D": Path("P07")}
    assert PATIENT_NAMES.shared_folders(places) == {"P07": ["C", "D"]}


@pytest.mark.parametrize("pattern", PATIENT_NAMES.follow_ups.values())
def test_no_name_is_slow(pattern):
    assert not pattern.fullmatch("1_-. " * 50 + "\0")
