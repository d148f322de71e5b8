import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImaged

from consilium.data.file_content import UnusableFile
from consilium.tasks.segmentation.bundle.problems import UnusableFile as BundleUnusableFile
from consilium.tasks.segmentation.bundle.scripts import read_scripts
from consilium.tasks.segmentation.bundle.transforms import PaintLabelsd, PrepareVolumed, SplitLabelsd
from consilium.tasks.segmentation.preparation.normalization import StandardizedForeground
from consilium.tasks.segmentation.regions import Region, join_regions, own_values

LOAD = LoadImaged(keys="image", ensure_channel_first=True, dtype=np.float64)
PREPARE = PrepareVolumed(keys="image", spacing_mm=[2, 2, 2], normalization=StandardizedForeground())
AFFINE = np.array([[0, 0, -1.5, 3], [1.0, 0, 0, 4], [0, -1.2, 0, 5], [0, 0, 0, 1]])


@pytest.fixture
def files(tmp_path):
    arrays = [np.random.default_rng(one).integers(1, 900, (20, 24, 18)).astype(np.int16) for one in range(2)]
    for array in arrays:
        array[:4] = array[:, -5:] = 0
    paths = [tmp_path / f"{one}.nii.gz" for one in ("a", "b", "both")]
    for path, array in zip(paths, [*arrays, np.stack(arrays, -1)], strict=True):
        nib.Nifti1Image(array, AFFINE).to_filename(path)
    return paths


def test_a_file_of_several_channels_is_what_its_images_are(files):
    steps = Compose([LOAD, PREPARE])
    single, both = steps({"image": files[:2]})["image"], steps({"image": files[2]})["image"]
    assert single.shape[0] == 2
    assert torch.equal(single.as_tensor(), both.as_tensor())


def test_the_way_back_ends_on_the_voxels_of_the_file(files):
    source = LOAD({"image": files[:2]})["image"]
    prepare = PrepareVolumed("image", [1.5, 1.0, 1.2], StandardizedForeground())  # as they are, along R, A, S
    prepared = prepare({"image": source})["image"]
    back = prepare.inverse({"image": prepared})["image"]
    assert back.shape == source.shape
    inside = source.numpy()[0] != 0
    assert not back.numpy()[0][:2].any()  # 0 outside the crop
    assert np.corrcoef(back.numpy()[0][inside], source.numpy()[0][inside])[0, 1] > 0.999


def test_painted_regions_are_what_a_label_map_has():
    regions = [Region("in", "", frozenset({1, 3})), Region("all", "", frozenset({1, 2, 3}))]
    found = torch.rand(2, 5, 6, 7)
    painted = PaintLabelsd(keys="pred", order=own_values(regions))({"pred": found})["pred"]
    assert torch.equal(painted[0], join_regions(found > 0.5, regions))


def test_a_label_of_another_convention_is_an_error():
    label = torch.zeros(1, 2, 2, 2)
    label[0, 0, 0, 0] = 4
    with pytest.raises(ValueError, match=r'as in --label_values "\[\[1\], \[1, 2\]\]"'):
        SplitLabelsd(keys="label", values=[[1], [1, 2]])({"label": label})
    split = SplitLabelsd(keys="label", values=[[4], [1, 4]])({"label": label})["label"]
    assert split.sum(dim=(1, 2, 3)).tolist() == [1.0, 1.0]


def test_an_image_that_can_t_be_used_says_why_without_our_codes():
    error = BundleUnusableFile("constant_image", "has no nonzero voxels that differ")
    assert str(error) == "the image has no nonzero voxels that differ (constant_image)"


def test_scripts_are_those_that_are_imported():
    assert {"transforms.py", "cases.py", "problems.py"} <= read_scripts().keys()


def test_an_image_of_zeros_stands_for_a_missing_one_where_the_model_has_learned_that(files):
    blank = files[1].with_name("blank.nii.gz")
    nib.Nifti1Image(np.zeros((20, 24, 18), np.int16), AFFINE).to_filename(blank)
    source = LOAD({"image": [files[0], blank]})
    prepare = PrepareVolumed("image", [2, 2, 2], StandardizedForeground(), may_lack=True)
    prepared = prepare(source)["image"].as_tensor()
    assert prepared[0].any()
    assert not prepared[1].any()
    with pytest.raises(UnusableFile, match="no nonzero voxels"):
        PREPARE(source)
