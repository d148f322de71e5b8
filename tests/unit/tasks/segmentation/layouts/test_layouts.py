import json

import pytest
from data.hospital import MODALITIES, NAMES_2018, NAMES_2023, Hospital, head

from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.errors import DataError
from consilium.tasks.brain_tumor.cases import CASES, brain_tumor_cases
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.segmentation.nifti.reading import pick_3d, read_nifti

TASK01 = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
BRATS_2023 = {"0": "background", "1": "NCR", "2": "ED", "3": "ET"}
NOT_UNDERSTOOD = {"0": "background", "1": "a", "2": "b", "3": "c"}


@pytest.mark.parametrize(
    ("names", "values", "layout"),
    [(NAMES_2018, (1, 2, 4), "brats-2018"), (NAMES_2023, (1, 2, 3), "brats-2023")],
)
@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_brats_cases_are_found_at_any_depth(hospital, names, values, layout, extension):
    hospital.brats("BraTS-1", values, names=names, extension=extension)
    hospital.brats("BraTS-2", values, names=names, extension=extension, parent="HGG")
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert cohort.layout == layout in CASES.layouts
    assert [case.id for case in cohort.cases] == ["BraTS-1", "BraTS-2"]
    (first, _) = cohort.cases
    stems = {name: f"BraTS-1{suffix}{extension}" for name, suffix in names.items()}
    assert {name: volume.path.name for name, volume in first.images.items()} == {
        name: stems[name] for name in MODALITIES
    }
    assert first.target.path.name == stems["label"]


def test_the_folder_of_one_case_is_a_cohort(hospital):
    folder = hospital.brats("Brats18_2013_2_1")
    assert [case.id for case in read_cohort(folder, case_format=CASES).cases] == ["Brats18_2013_2_1"]


def test_cases_side_by_side_in_one_folder_are_distinguished(hospital):
    for case_id in ("A", "B"):
        for path in hospital.brats(case_id).iterdir():
            path.rename(hospital.folder / path.name)
    assert [case.id for case in read_cohort(hospital.folder, case_format=CASES).cases] == [
        "A",
        "B",
    ]


def test_only_the_modalities_asked_for_must_exist(hospital):
    hospital.brats("A", without=["t1", "t2"])
    cohort = read_cohort(hospital.folder, case_format=brain_tumor_cases(("flair", "t1ce")))
    assert list(cohort.cases[0].images) == ["flair", "t1ce"]


def test_a_modality_that_the_layout_does_not_have_is_rejected(hospital):
    hospital.brats("A")
    with pytest.raises(DataError, match="modalities t1, adc; the layout brats-2018 has t1, t1ce, t2, flair"):
        read_cohort(hospital.folder, case_format=brain_tumor_cases(("t1", "adc")))


def test_a_missing_modality_is_a_problem_that_names_it(hospital):
    hospital.brats("A")
    hospital.brats("B", without=["t1ce"])
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert [case.id for case in cohort.cases] == ["A"]
    (problem,) = cohort.problems
    assert (problem.case_id, problem.code) == ("B", DataCode.MISSING_IMAGE)
    assert "no t1ce image" in problem.detail


def test_foreign_files_beside_a_case_are_ignored(hospital):
    folder = hospital.brats("A")
    for name in ("A_coverage.nii.gz", "._A_t1.nii.gz", "survival_info.csv", "notes.txt"):
        (folder / name).write_bytes(b"not an image")
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert ([case.id for case in cohort.cases], cohort.problems) == (["A"], ())
    assert (cohort.notices, cohort.unknown_files) == ((), ())


def test_the_label_of_brats_2020_case_355_is_found(hospital):
    folder = hospital.brats("BraTS20_Training_355")
    (folder / "BraTS20_Training_355_seg.nii.gz").rename(folder / "W39_1998.09.19_Segm.nii.gz")
    (case,) = read_cohort(hospital.folder, case_format=CASES).cases
    assert case.target.path.name == "W39_1998.09.19_Segm.nii.gz"


def test_the_visits_of_a_patient_share_the_patient(hospital):
    for case_id in ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00008-100"):
        hospital.brats(case_id, (1, 2, 3), names=NAMES_2023)
    cohort = read_cohort(hospital.folder, case_format=CASES)
    patients = [case.patient for case in cohort.cases]
    assert patients == ["BraTS-GLI-00005", "BraTS-GLI-00005", "BraTS-GLI-00008"]


def test_of_two_equal_copies_of_a_case_the_first_is_used(hospital):
    hospital.brats("A")
    hospital.brats("A", parent="backup")
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert [case.images["t1"].path.parent for case in cohort.cases] == [hospital.folder / "A"]
    assert cohort.problems == ()
    (notice,) = cohort.notices
    assert (notice.code, notice.case_id) == (DataCode.REPEATED_CASE, "A")


def test_a_copy_without_the_label_is_a_copy(hospital):
    hospital.brats("A", None, parent="a-backup")
    hospital.brats("A")
    (case,) = read_cohort(hospital.folder, case_format=CASES).cases
    assert case.target.path.parent == hospital.folder / "A"


@pytest.mark.parametrize("differs", ["label", "image"])
def test_of_two_different_cases_of_one_id_none_is_used(hospital, differs):
    hospital.brats("A", parent="HGG")
    other = (
        hospital.brats("A", (0, 1, 2), parent="LGG")
        if differs == "label"
        else hospital.brats("A", parent="LGG")
    )
    if differs == "image":
        hospital.image(str(other / "A_t2.nii.gz"), head(seed=99))
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert cohort.cases == ()
    (problem,) = cohort.problems
    assert (problem.case_id, problem.code) == ("A", DataCode.DUPLICATE_CASE)
    assert "HGG" in problem.detail
    assert "LGG" in problem.detail


def test_a_second_folder_with_a_part_of_a_case_does_not_replace_it(hospital):
    hospital.brats("A", parent="a-part", without=["t1ce"])
    hospital.brats("A", parent="whole")
    (case,) = read_cohort(hospital.folder, case_format=CASES).cases
    assert case.images["t1"].path.parent.parent.name == "whole"


def test_decathlon_channels_and_labels_are_named_in_their_own_order(hospital):
    hospital.decathlon("BRATS_001")
    hospital.decathlon("BRATS_500", folder="imagesTs", labeled=False)
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert cohort.layout in CASES.layouts
    assert (cohort.layout, cohort.convention) == ("decathlon", LabelConvention.DECATHLON)
    labeled, unlabeled = cohort.cases
    assert (labeled.id, unlabeled.id, unlabeled.target) == ("BRATS_001", "BRATS_500", None)
    assert _scales(labeled) == {"flair": 1, "t1": 10, "t1ce": 100, "t2": 1000}


def test_decathlon_follows_the_channel_order_of_its_description(hospital):
    hospital.decathlon("BRATS_001")
    _describe(hospital, ["T2w", "t1gd", "T1w", "FLAIR"])
    (case,) = read_cohort(hospital.folder, case_format=CASES).cases
    assert _scales(case) == {"t2": 1, "t1ce": 10, "t1": 100, "flair": 1000}


@pytest.mark.parametrize(
    ("case_id", "labels"),
    [
        ("P001", NOT_UNDERSTOOD),
        ("BRATS_001_new", {}),
        ("BRATS_001", NOT_UNDERSTOOD),
        ("BRATS_001", {}),
    ],
)
def test_only_cases_of_the_decathlon_are_numbered_as_its_own_without_being_asked(hospital, case_id, labels):
    hospital.decathlon(case_id)
    _describe(hospital, ["FLAIR", "T1w", "t1gd", "T2w"], labels)
    with pytest.raises(FolderError, match=r"no dataset\.json .* hold 1, 2, 3\. .*decathlon.*brats-2023"):
        read_cohort(hospital.folder, case_format=CASES)
    cohort = read_cohort(hospital.folder, case_format=CASES, convention=LabelConvention.BRATS_2023)
    assert (cohort.convention, len(cohort.cases)) == (LabelConvention.BRATS_2023, 1)


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize("case_id", ["P001", "BraTS-GLI-00001-000", "BRATS_001_new", "BRATS_"])
@pytest.mark.parametrize("folder", ["imagesTr", "imagesTs"])
@pytest.mark.parametrize("stated", [None, LabelConvention.DECATHLON])
def test_nobody_elses_channels_are_taken_to_be_in_the_decathlons_order(hospital, case_id, folder, stated):
    hospital.decathlon("BRATS_001")
    hospital.decathlon(case_id, folder=folder, labeled=folder == "imagesTr")
    with pytest.raises(FolderError, match=r"which channel is which.*Write one beside imagesTr") as refused:
        read_cohort(hospital.folder, case_format=CASES, convention=stated)
    example = str(refused.value).partition("for example ")[2].removesuffix(".")
    (hospital.folder / "dataset.json").write_text(example)
    assert len(read_cohort(hospital.folder, case_format=CASES).cases) == 2


@pytest.mark.parametrize(
    ("labels", "seen"),
    [
        ((BRATS_2023, None), r"no dataset\.json in 1 of 2 folders with labels says"),
        ((BRATS_2023, NOT_UNDERSTOOD), r"no dataset\.json in 1 of 2 folders with labels says"),
        ((TASK01, BRATS_2023), "contradict one another.*brats-2023.*decathlon"),
    ],
)
def test_a_description_is_not_that_of_the_folder_beside_it(hospital, labels, seen):
    for number, said in enumerate(labels, start=1):
        part = Hospital(hospital.folder / str(number))
        part.decathlon(f"BRATS_{number:03}")
        if said:
            _describe(part, ["FLAIR", "T1w", "t1gd", "T2w"], said)
    with pytest.raises(FolderError, match=seen):
        read_cohort(hospital.folder, case_format=CASES)


def test_a_folder_without_labels_needs_no_description_of_them(hospital):
    part = Hospital(hospital.folder / "1")
    part.decathlon("P001")
    _describe(part, ["FLAIR", "T1w", "t1gd", "T2w"], BRATS_2023)
    Hospital(hospital.folder / "2").decathlon("BRATS_002", folder="imagesTs", labeled=False)
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert (cohort.convention, len(cohort.cases)) == (LabelConvention.BRATS_2023, 2)


@pytest.mark.parametrize("modalities", [["CT"], ["FLAIR", "T1w", "t1gd"]])
def test_another_decathlon_task_is_rejected(hospital, modalities):
    hospital.decathlon("liver_001")
    _describe(hospital, modalities)
    with pytest.raises(DataError, match=f"names the modalities {', '.join(modalities)}.*Is this another"):
        read_cohort(hospital.folder, case_format=CASES)


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"modality": 3}', '{"modality": {"1": "T1w"}}', "[" * 200_000], ids=len
)
def test_a_decathlon_description_that_says_nothing_is_rejected(hospital, content):
    hospital.decathlon("BRATS_001")
    (hospital.folder / "dataset.json").write_text(content)
    with pytest.raises(DataError, match="does not name the modalities"):
        read_cohort(hospital.folder, case_format=CASES)


def test_a_decathlon_description_may_begin_with_a_byte_order_mark(hospital):
    hospital.decathlon("BRATS_001")
    _describe(hospital, ["FLAIR", "T1w", "t1gd", "T2w"])
    path = hospital.folder / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_cohort(hospital.folder, case_format=CASES).problems == ()


def test_a_value_that_no_label_can_hold_is_no_meaning(hospital):
    hospital.decathlon("BRATS_001")
    _describe(hospital, ["FLAIR", "T1w", "t1gd", "T2w"], {"background": 0, "edema": float("inf")})
    with pytest.raises(DataError, match="convention"):
        read_cohort(hospital.folder, case_format=CASES)


def test_decathlon_images_and_labels_without_their_counterpart_are_found(hospital):
    hospital.decathlon("BRATS_001", labeled=False)
    hospital.decathlon("BRATS_002").unlink()
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert [(case.id, case.target) for case in cohort.cases] == [("BRATS_001", None)]
    assert cohort.problems == ()
    assert [(one.case_id, one.code) for one in cohort.notices] == [
        ("BRATS_001", DataCode.NO_LABEL),
        ("BRATS_002", DataCode.STRAY_LABEL),
    ]


def test_decathlon_images_of_which_none_has_a_label_are_good_without(hospital):
    for number in (1, 2):
        hospital.decathlon(f"BRATS_{number:03}", labeled=False)
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert (len(cohort.cases), cohort.problems, cohort.notices) == (2, (), ())


def test_a_folder_of_two_layouts_names_what_was_found_of_each(hospital):
    hospital.brats("A")
    hospital.brats("B", (1, 2, 3), names=NAMES_2023)
    with pytest.raises(DataError, match=r"brats-2018 .*: 5 files, .*A_flair.*brats-2023: 5 files, .*B-"):
        read_cohort(hospital.folder, case_format=CASES)


def test_a_folder_of_no_layout_says_what_it_holds_and_what_was_looked_for(hospital):
    for index in range(3):
        (hospital.folder / f"{index}.dcm").touch()
    with pytest.raises(DataError, match=r"Found 3 \.dcm.*brats-2018.*brats-2023.*decathlon"):
        read_cohort(hospital.folder, case_format=CASES)


def _describe(hospital: Hospital, modalities: list[str], labels: dict[str, str] = TASK01) -> None:
    stated = {str(index): name for index, name in enumerate(modalities)}
    (hospital.folder / "dataset.json").write_text(json.dumps({"modality": stated, "labels": labels}))


def _scales(case):
    """Which power of ten each modality was written with."""
    maxima = {
        name: pick_3d(read_nifti(volume.path, case_id=case.id), volume, case_id=case.id).array.max()
        for name, volume in case.images.items()
    }
    smallest = min(maxima.values())
    return {name: round(float(value / smallest)) for name, value in maxima.items()}
