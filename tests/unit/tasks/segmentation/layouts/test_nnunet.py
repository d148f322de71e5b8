"""Folders of nnU-Net, whose `dataset.json` says what channels and labels are."""

import json
from pathlib import Path

import pytest
from data.hospital import MODALITIES, Hospital, head, label

from consilium.data.case import FolderError
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention


def _read(hospital, **options):
    return read_cohort(hospital.folder, case_format=CASES, **options)


def _nnunet(hospital: Hospital, *, channels, labels, key="channel_names"):
    """Two cases, the second one for testing."""
    for case_id, folder in (("BRATS_001", "imagesTr"), ("BRATS_002", "imagesTs")):
        for channel in range(4):
            hospital.image(f"{folder}/{case_id}_{channel:04}.nii.gz", head(seed=channel))
    hospital.image("labelsTr/BRATS_001.nii.gz", label((1, 2, 3)))
    description = {key: {str(index): name for index, name in enumerate(channels)}, "labels": labels}
    Path(hospital.folder, "dataset.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("labels", "convention"),
    [
        ({"background": 0, "edema": 1, "non-enhancing": 2, "enhancing": 3}, LabelConvention.DECATHLON),
        ({"background": 0, "NCR": 1, "ED": 2, "ET": 3}, LabelConvention.BRATS_2023),
        (
            {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
            LabelConvention.DECATHLON,
        ),
        (
            {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "ET": 3},
            LabelConvention.BRATS_2023,
        ),
    ],
)
def test_nnunet_says_what_channels_and_labels_are(hospital, labels, convention):
    _nnunet(hospital, channels=["FLAIR", "T1", "T1ce", "T2"], labels=labels)
    cohort = _read(hospital)
    assert cohort.layout in CASES.layouts
    assert (cohort.layout, cohort.convention) == ("nnunet", convention)
    labeled, unlabeled = cohort.cases
    assert (labeled.id, unlabeled.id, unlabeled.target) == ("BRATS_001", "BRATS_002", None)
    assert [labeled.images[kind].path.name[10:14] for kind in MODALITIES] == ["0001", "0002", "0003", "0000"]
    assert cohort.problems == ()


def test_nnunet_before_its_second_version_is_recognized_by_its_labels(hospital):
    _nnunet(hospital, channels=["T1", "T1ce", "T2", "FLAIR"], labels={"1": "tumor"}, key="modality")
    with pytest.raises(FolderError, match=r"no dataset\.json .* says which tissue.*decathlon.*brats-2023"):
        _read(hospital)
    cohort = _read(hospital, convention=LabelConvention.BRATS_2023)
    assert (cohort.layout, len(cohort.cases)) == ("nnunet", 2)


def test_nnunet_without_a_description_says_what_to_write(hospital):
    _nnunet(hospital, channels=["T1", "T1ce", "T2", "FLAIR"], labels={})
    (hospital.folder / "dataset.json").unlink()
    with pytest.raises(FolderError, match=r"looks like a raw dataset of nnU-Net.*channel_names"):
        _read(hospital)


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "enhancing", "2": "necrosis", "3": "edema"},
        {"background": 0, "ET": 1, "ED": 2, "NET": 3},
    ],
)
def test_label_values_that_no_convention_has_are_rejected(hospital, labels):
    _nnunet(hospital, channels=["T1", "T1ce", "T2", "FLAIR"], labels=labels)
    with pytest.raises(FolderError, match=r"dataset\.json gives the labels the meaning .*no convention"):
        _read(hospital)
    assert _read(hospital, convention=LabelConvention.BRATS_2023).convention == LabelConvention.BRATS_2023
