"""Real files of real patients: what small fixtures can't show."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from consilium.data.cache import CaseCache
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention, Tissue
from consilium.tasks.segmentation.preparation.intensities import Levels, Scale
from data.hospital import read_native

REPOSITORY = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("CONSILIUM_REAL_DATA") or REPOSITORY / "../shared/data/real")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.real_data,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"no real patients in {FOLDER}: set CONSILIUM_REAL_DATA to their folder"
    ),
]


@pytest.fixture(scope="module")
def cohort():
    return read_cohort(FOLDER, case_format=CASES)


@pytest.fixture(scope="module")
def prepared(cohort, tmp_path_factory):
    settings = CASES.preprocessing(1.0)
    return CaseCache(tmp_path_factory.mktemp("cache"), case_format=CASES, settings=settings).prepare(cohort)


def test_the_convention_is_found_and_every_case_is_usable(cohort):
    assert (cohort.layout, cohort.convention) == ("brats-2018", LabelConvention.BRATS_2018)
    assert [case.id for case in cohort.cases] == ["BRATS_009", "TCGA-DU-7294", "TCGA-FG-6692"]
    assert cohort.problems == ()


def test_no_tumor_voxel_is_lost_on_the_way_through_the_cache(cohort, prepared):
    assert len(prepared.cases) == len(cohort.cases)
    for source, case in zip(cohort.cases, prepared.cases, strict=True):
        stored = np.asanyarray(nib.load(source.target.path).dataobj)
        for value, tissue in LabelConvention.BRATS_2018.values.items():
            if value:
                assert (case.reference == tissue).sum() == (stored == value).sum()
        assert np.array_equal(case.label, case.reference)  # 1 mm files on a 1 mm grid
        restored = case.geometry.to_file_grid(np.asarray(case.reference))
        assert np.array_equal(restored != Tissue.BACKGROUND, stored != 0)


def test_images_are_normalized_and_finite(prepared):
    for case in prepared.cases:
        assert case.image.shape == (4, *case.geometry.task_shape)
        for channel in np.asarray(case.image, dtype=np.float64):
            brain = channel[channel != 0]
            assert np.isfinite(brain).all()
            # The brightest 0.5 %, vessels and fluid, don't count for the scale and still are in the image.
            assert brain.mean() == pytest.approx(0, abs=0.01)
            assert 1 <= brain.std() < 1.06


def test_almost_no_voxel_of_a_good_image_is_clipped(cohort):
    for case in cohort.cases:
        native = read_native(CASES, case, cohort.convention)
        assert all(outside.size == 0 for outside in native.outside.values())
        for image in native.images.values():
            levels = Levels.of(image[image != 0])
            scale = Scale.of(levels)
            assert levels.beyond(scale.low, scale.high) < 2e-4 * levels.counts.sum()
            tumor = image[(native.reference != 0) & (image != 0)]
            assert Levels.of(tumor).beyond(scale.low, scale.high) < 1e-3 * tumor.size
