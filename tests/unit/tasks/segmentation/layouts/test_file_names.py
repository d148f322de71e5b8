"""Folders as public collections, pipelines and hospitals write them."""

import pytest
from data.hospital import MODALITIES, head, label

from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention

COLLECTIONS = {
    "UCSF-PDGM": (
        "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_{}.nii.gz",
        ("T1", "T1c", "T2", "FLAIR", "tumor_segmentation"),
        "UCSF-PDGM-0004",
    ),
    "TCGA-GBM": (
        "TCGA-02-0006/TCGA-02-0006_1996.08.23_{}.nii.gz",
        ("t1", "t1Gd", "t2", "flair", "GlistrBoost_ManuallyCorrected"),
        "TCGA-02-0006_1996.08.23",
    ),
    "FeTS": (
        "Patient_001/Patient_001_{}.nii.gz",
        ("brain_t1", "brain_t1gd", "brain_t2", "brain_flair", "final_seg"),
        "Patient_001",
    ),
    "CaPTk": (
        "P7/{}.nii.gz",
        ("T1_to_SRI_brain", "T1CE_to_SRI_brain", "T2_to_SRI_brain", "FL_to_SRI_brain", "seg"),
        "P7",
    ),
    "MU-Glioma-Post": (
        "PatientID_0003/Timepoint_1/PatientID_0003_Timepoint_1_{}.nii.gz",
        ("brain_t1n", "brain_t1c", "brain_t2w", "brain_t2f", "tumorMask"),
        "PatientID_0003_Timepoint_1",
    ),
    "LUMIERE": (
        "Patient-001/week-000-1/{}.nii.gz",
        ("T1", "CT1", "T2", "FLAIR", "seg"),
        "Patient-001_week-000-1",
    ),
    "bare names": ("P1/{}.nii.gz", ("t1", "t1ce", "t2", "flair", "seg"), "P1"),
    "bare names of brains": (
        "P1/{}.nii.gz",
        ("brain_t1", "brain_t1ce", "brain_t2", "brain_flair", "segmentation"),
        "P1",
    ),
    "capital extensions": ("P1/P1_{}.NII.GZ", ("T1", "T1CE", "T2", "FLAIR", "SEG"), "P1"),
    "plain NIfTI in capitals": ("P1/P1_{}.NII", ("T1", "T1CE", "T2", "FLAIR", "SEG"), "P1"),
    "folders of a kind": ("{}/001.nii.gz", ("T1", "T1ce", "T2", "FLAIR", "seg"), "001"),
    "folders of a kind, with names": ("{}/Case.nii.gz", ("T1", "T1ce", "T2", "FLAIR", "labels"), "Case"),
    "folders of a kind in a patient's": ("P1/{}/image.nii.gz", ("T1", "T1ce", "T2", "FLAIR", "seg"), "P1"),
    "folders named as files": (
        "BraTS2021_00000/BraTS2021_00000_{0}.nii/00000000_brain_{0}.nii",
        ("t1", "t1ce", "t2", "flair", "seg"),
        "BraTS2021_00000",
    ),
    "BIDS": (
        "sub-01/ses-02/anat/sub-01_ses-02_{}.nii.gz",
        ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR", "dseg"),
        "sub-01_ses-02",
    ),
}


def _write(hospital, pattern, names, values=(1, 2, 4), seed=0):
    """One case; returns its files by kind."""
    for index, (kind, name) in enumerate(zip((*MODALITIES, "label"), names, strict=True)):
        array = label(values) if kind == "label" else head(seed=seed + index)
        written = hospital.image(
            f"written/{seed}-{index}.nii{'.gz' if pattern.lower().endswith('gz') else ''}", array
        )
        path = hospital.folder / pattern.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        written.rename(path)
    (hospital.folder / "written").rmdir()
    return {
        kind: hospital.folder / pattern.format(name)
        for kind, name in zip((*MODALITIES, "label"), names, strict=True)
    }


def _read(hospital, **options):
    return read_cohort(hospital.folder, case_format=CASES, **options)


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_names_of_collections_and_pipelines_are_read(hospital, collection):
    pattern, names, case_id = COLLECTIONS[collection]
    values = (1, 2, 3, 4) if collection == "MU-Glioma-Post" else (1, 2, 4)
    files = _write(hospital, pattern, names, values)
    cohort = _read(hospital)
    assert (cohort.problems, cohort.notices, cohort.unknown_files) == ((), (), ())
    (case,) = cohort.cases
    assert case.id == case_id
    assert {**{kind: volume.path for kind, volume in case.images.items()}, "label": case.target.path} == files
    since_2023 = collection == "MU-Glioma-Post"
    assert cohort.convention == (LabelConvention.BRATS_2024 if since_2023 else LabelConvention.BRATS_2018)


def test_labels_of_upenn_lie_in_folders_of_their_own(hospital):
    for number in ("00001_11", "00002_11"):
        case = f"UPENN-GBM-{number}"
        files = _write(
            hospital, f"images_structural/{case}/{case}_{{}}.nii.gz", ("T1", "T1GD", "T2", "FLAIR", "segm")
        )
        for folder, name in (("automated_segm", "automated_approx_segm"), ("images_segm", "segm")):
            if (folder, number) != ("images_segm", "00002_11"):  # corrected for some only
                hospital.image(f"{folder}/{case}_{name}.nii.gz", label((1, 2, 4)))
        files["label"].unlink()
    cohort = _read(hospital)
    assert [case.target.path.parent.name for case in cohort.cases] == ["images_segm", "automated_segm"]
    assert (cohort.problems, cohort.notices) == ((), ())


def test_of_two_labels_of_tcga_the_corrected_one_is_used(hospital):
    pattern, names, _ = COLLECTIONS["TCGA-GBM"]
    files = _write(hospital, pattern, names)
    hospital.image(pattern.format("GlistrBoost"), label((1, 2)))
    (case,) = _read(hospital).cases
    assert case.target.path == files["label"]


def test_brains_are_used_where_heads_lie_beside_them(hospital):
    heads = ("t1", "t1ce", "t2", "flair", "seg")
    _write(hospital, "P1/P1_{}.nii.gz", heads)
    brains = _write(
        hospital, "P1/P1_{}.nii.gz", ("brain_t1", "brain_t1ce", "brain_t2", "brain_flair", "seg"), seed=9
    )
    (case,) = _read(hospital).cases
    assert all(case.images[kind].path == brains[kind] for kind in MODALITIES)


def test_heads_are_used_where_not_every_brain_is_there(hospital):
    files = _write(hospital, "P1/P1_{}.nii.gz", ("t1", "t1ce", "t2", "flair", "seg"))
    hospital.image("P1/P1_brain_t1.nii.gz", head())
    (case,) = _read(hospital).cases
    assert all(case.images[kind].path == files[kind] for kind in MODALITIES)


def test_masks_of_the_brain_are_no_labels(hospital):
    pattern, names, _ = COLLECTIONS["UCSF-PDGM"]
    files = _write(hospital, pattern, names)
    for other in ("brain_segmentation", "brain_parenchyma_segmentation", "ADC", "T1c_bias", "DTI_eddy_FA"):
        hospital.image(pattern.format(other), head())
    cohort = _read(hospital)
    assert (cohort.cases[0].target.path, cohort.notices, cohort.unknown_files) == (files["label"], (), ())


def test_bids_prefers_the_derivative_without_a_skull(hospital):
    names = ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR", "dseg")
    _write(hospital, "sub-01/anat/sub-01_{}.nii.gz", names)
    (hospital.folder / "sub-01/anat/sub-01_dseg.nii.gz").unlink()
    brains = ("desc-brain_T1w", "ce-gadolinium_desc-brain_T1w", "desc-brain_T2w", "desc-brain_FLAIR")
    files = _write(
        hospital, "derivatives/strip/sub-01/anat/sub-01_{}.nii.gz", (*brains, "label-tumor_dseg"), seed=9
    )
    hospital.image("derivatives/strip/sub-01/anat/sub-01_desc-brain_mask.nii.gz", label((1,)))
    cohort = _read(hospital)
    (case,) = cohort.cases
    assert cohort.layout in CASES.layouts
    assert (case.id, cohort.layout) == ("sub-01", "bids")
    assert {**{kind: volume.path for kind, volume in case.images.items()}, "label": case.target.path} == files


def test_two_acquisitions_of_one_kind_are_not_chosen_between(hospital):
    _write(hospital, "sub-01/anat/sub-01_{}.nii.gz", ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR", "dseg"))
    hospital.image("sub-01/anat/sub-01_acq-tse_T2w.nii.gz", head(seed=5))
    hospital.image("sub-01/anat/sub-01_acq-space_T2w.nii.gz", head(seed=6))
    (hospital.folder / "sub-01/anat/sub-01_T2w.nii.gz").unlink()
    (problem,) = _read(hospital).problems
    assert problem.code is DataCode.DUPLICATE_FILE


def test_labels_of_brats_in_the_decathlons_folders_are_not_read_as_its_own(hospital):
    for number in range(3):
        hospital.decathlon(f"BRATS_{number:03}")
        hospital.image(f"labelsTr/BRATS_{number:03}.nii.gz", label((1, 2, 4)))
    with pytest.raises(FolderError, match=r"all 3 labels hold 4, which decathlon does not have.*brats-2018"):
        _read(hospital)


def test_a_hospital_adds_its_own_endings(hospital):
    files = _write(hospital, "P1/P1_{}.nii.gz", ("T1_nativ", "T1_KM", "T2", "FLAIR", "ROI_final"))
    (problem,) = (cohort := _read(hospital)).problems
    assert problem.code is DataCode.MISSING_IMAGE
    (notice,) = cohort.notices
    assert notice.code is DataCode.UNKNOWN_FILES
    assert "--file-ending" in notice.detail
    assert "file_endings" in notice.detail
    own = {"t1": ["_T1_nativ"], "t1ce": ["T1_KM"], "label": ["ROI_final.nii.gz"]}
    cohort = _read(hospital, file_endings=own)
    (case,) = cohort.cases
    assert {**{kind: volume.path for kind, volume in case.images.items()}, "label": case.target.path} == files
    assert cohort.notices == ()


@pytest.mark.parametrize("own", [{"t3": ["X"]}, {"t1": [""]}, {"t1": ["a/b"]}, {"t1": ["X"], "t2": ["x"]}])
def test_an_ending_that_is_none_is_rejected(hospital, own):
    hospital.brats("A")
    with pytest.raises(ConfigurationError, match="file_endings"):
        _read(hospital, file_endings=own)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("P1/VSD.Brain.XX.O.MR_T1.54513.mha", "SimpleITK"),
        ("P1/t1.nrrd", "SimpleITK"),
        ("P1/T1.mgz", "nib-convert"),
        ("P1/T1.img", "nib-convert"),
        ("P1/IM0001.dcm", "dcm2niix"),
        ("P1/case.npz", "NIfTI files that they were made of"),
    ],
)
def test_what_is_recognized_and_not_read_names_the_command_that_converts_it(hospital, name, command):
    path = hospital.folder / name
    path.parent.mkdir()
    path.write_bytes(b"x")
    with pytest.raises(FolderError, match=command) as error:
        _read(hospital)
    assert error.value.code is DataCode.UNKNOWN_LAYOUT


def test_a_letter_that_has_no_single_small_one_changes_no_id(hospital):
    _write(hospital, "\u0130P1/\u0130P1_{}.nii.gz", ("T1", "T1ce", "T2", "FLAIR", "seg"))
    assert [case.id for case in _read(hospital).cases] == ["\u0130P1"]


def test_labels_alone_are_no_layout(hospital):
    """The images have names of another kind: all of them are listed, not each label as somebody's stray."""
    for case_id in ("P1", "P2"):
        for channel in range(4):
            hospital.image(f"{case_id}/{case_id}_{channel:04}.nii.gz", head(seed=channel))
        hospital.image(f"{case_id}/{case_id}_seg.nii.gz", label((1, 2, 4)))
    with pytest.raises(FolderError, match=r"2 _0000\.nii\.gz.*--file-ending"):
        _read(hospital)
    own = dict(zip(MODALITIES, (["0000"], ["0001"], ["0002"], ["0003"]), strict=True))
    assert len(_read(hospital, file_endings=own).cases) == 2


def test_masks_in_the_decathlons_folders_are_not_read_as_edema(hospital):
    for number in range(3):
        hospital.decathlon(f"BRATS_{number:03}")
        hospital.image(f"labelsTr/BRATS_{number:03}.nii.gz", label((1,)))
    with pytest.raises(FolderError, match="all 3 labels hold 1 and nothing else"):
        _read(hospital)
