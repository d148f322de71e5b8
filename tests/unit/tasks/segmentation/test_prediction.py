import gzip

import nibabel as nib
import numpy as np
import pytest
import torch
from data.hospital import Hospital

from consilium.data.cache import CaseCache
from consilium.data.case import CaseError
from consilium.data.cohort import find_cases
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention, Tissue
from consilium.tasks.prediction import OutputOptions
from consilium.tasks.segmentation.labels import FixedLabels, to_classes
from consilium.tasks.segmentation.nifti.writing import encode_nifti
from consilium.tasks.segmentation.prediction import LABEL_ENDING, SegmentationPrediction
from consilium.tasks.segmentation.regions import Region, join_regions

PREDICTION = get_task("brain_tumor").prediction


@pytest.fixture
def case(tmp_path):
    Hospital(tmp_path / "in").brats("P1", None)
    cohort = find_cases(tmp_path / "in", case_format=CASES)
    cache = CaseCache(tmp_path / "cache", case_format=CASES, settings=CASES.preprocessing(1.0))
    (cached,) = cache.prepare(cohort).cases
    return cached


def found(case, **regions):
    """Probabilities in which one voxel of each region is certain."""
    probabilities = torch.zeros(3, *case.geometry.crop_shape)
    for index, name in enumerate(("tc", "wt", "et")):
        for voxel in regions.get(name, ()):
            probabilities[(index, *voxel)] = 1.0
    return probabilities


@pytest.mark.parametrize("convention", [one.value for one in LabelConvention])
def test_a_written_label_is_read_as_the_regions_that_were_found(case, convention):
    inner, outer = (2, 2, 2), (1, 2, 3)
    regions = found(case, tc=[inner], wt=[inner, outer], et=[inner])
    output = PREDICTION.write(regions, case, OutputOptions(convention))
    image = nib.Nifti1Image.from_bytes(gzip.decompress(output.files[LABEL_ENDING]))
    tissues = to_classes(
        np.asarray(image.dataobj), LabelConvention(convention).values, LabelConvention(convention).value
    )
    assert sorted(np.unique(tissues)) == [Tissue.BACKGROUND, Tissue.EDEMA, Tissue.ENHANCING]
    assert output.values == {"tc_ml": 0.001, "wt_ml": 0.002, "et_ml": 0.001}
    meaning = PREDICTION.meaning(convention)
    assert set(np.unique(image.dataobj)) - {0} <= set(meaning["wt"])


def test_the_default_convention_comes_first():
    assert PREDICTION.conventions[0] == "brats-2023"
    assert sorted(PREDICTION.conventions) == sorted(one.value for one in LabelConvention)


def test_labels_of_one_meaning_have_no_choice():
    prediction = SegmentationPrediction([Region("lesion", "Lesion", frozenset({1}))], FixedLabels({7: 1}))
    assert prediction.conventions == ()
    assert prediction.columns == ("lesion_ml",)
    assert prediction.meaning(None) == {"lesion": [7]}


def test_an_image_that_was_replaced_meanwhile_is_noticed(case, tmp_path):
    path = tmp_path / "in/P1/P1_t1.nii.gz"
    moved = nib.load(path)
    nib.Nifti1Image(np.asarray(moved.dataobj), np.diag([1.0, 1.0, 1.0, 1.0])).to_filename(path)
    with pytest.raises(CaseError, match="another image now"):
        PREDICTION.write(found(case), case, OutputOptions("brats-2023"))
    path.unlink()
    with pytest.raises(CaseError):
        PREDICTION.write(found(case), case, OutputOptions("brats-2023"))


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_header_s_place_is_taken_over_and_its_texts_are_not(kind, order):
    source = kind(np.zeros((3, 4, 5, 2), ">i2" if order == ">" else "<i2"), np.diag([-2.0, 1.5, 3.0, 1.0]))
    source.set_qform(source.affine, code=1)
    source.set_sform(source.affine, code=4)
    header = source.header.as_byteswapped(order)
    header["descrip"], header["aux_file"] = b"Doe^Jane 1950-01-01", b"doe.txt"
    header["xyzt_units"] = 10
    content = gzip.decompress(
        encode_nifti(np.arange(60, dtype=np.uint16).reshape(3, 4, 5), header, slope=0.5)
    )
    assert b"oe" not in content
    written = kind.from_bytes(content)
    assert np.array_equal(written.get_fdata(), np.arange(60).reshape(3, 4, 5) / 2)
    assert np.array_equal(written.affine, source.affine)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 4)
    assert int(written.header["xyzt_units"]) == 10


def test_the_same_prediction_gives_the_same_bytes(case):
    regions = found(case, wt=[(1, 1, 1)])
    options = OutputOptions("brats-2023", probabilities=True)
    assert PREDICTION.write(regions, case, options).files == PREDICTION.write(regions, case, options).files


def test_a_region_without_a_value_of_its_own_is_an_error():
    regions = [
        Region("whole", "Whole", frozenset({1, 2})),
        Region("a", "A", frozenset({1})),
        Region("b", "B", frozenset({2})),
    ]
    with pytest.raises(ValueError, match="whole"):
        join_regions(torch.zeros(3, 1, 1, 1, dtype=torch.bool), regions)
