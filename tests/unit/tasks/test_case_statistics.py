import numpy as np
import pytest
from data.hospital import head, label, one_case, read_native

from consilium.data.cohort import read_cohort
from consilium.data.cohort_pass import process_cases
from consilium.data.sources import SourceIndex
from consilium.errors import Cancelled
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.cases import CASES, brain_tumor_cases
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.case_statistics import KeptStatistics
from consilium.tasks.segmentation.features import STANDARDIZED, VolumeFeatures

FEATURES = get_task("brain_tumor").statistics
AFFINE = np.diag([-1.0, -2.0, 3.0, 1.0])  # voxels of 1 x 2 x 3 mm


def describe(folder, images, drawn=None, affine=AFFINE):
    convention = None if drawn is None else LabelConvention.BRATS_2018
    return FEATURES.describe(
        read_native(brain_tumor_cases(tuple(images)), one_case(folder, images, drawn, affine), convention)
    )


def cohort_of(hospital):
    return read_cohort(hospital.folder, case_format=CASES)


def kept_numbers(hospital, tmp_path, cancelled=lambda: False):
    """The numbers of each case by id, and the problems of the others."""
    kept = KeptStatistics(tmp_path / "cache", "brain_tumor", FEATURES)
    made = process_cases(
        cohort_of(hospital),
        (kept,),
        case_format=CASES,
        index=SourceIndex(tmp_path / "cache"),
        cancelled=cancelled,
    )
    return made.of(kept), list(made.problems.values())


def test_numbers_of_a_case_worked_out_by_hand(tmp_path):
    image = np.zeros((12, 14, 10), dtype=np.int16)
    image[4:6, 4:8, 4:6] = 10  # 16 voxels
    image[4:6, 4:6, 4:6] = 30  # 8 of them
    image[4, 4, 4] = 50
    numbers = describe(tmp_path, {"t1": image}, label((0, 1, 2, 4)))
    assert [numbers[f"spacing_{axis}"] for axis in "xyz"] == [1, 2, 3]
    # The box holds the image and the label (y from 3 to 8), and two voxels around.
    extent = ((2 + 4) * 1, (6 + 4) * 2, (2 + 4) * 3)
    assert tuple(numbers[f"extent_{axis}"] for axis in "xyz") == extent
    assert numbers["scale_t1"] == np.log10(20)
    voxels_ml = 8 * 1 * 2 * 3 / 1000  # of each tissue
    volumes = {name: numbers[f"volume_{name}"] for name in ("tc", "wt", "et")}
    assert volumes == pytest.approx({"tc": 2 * voxels_ml, "wt": 3 * voxels_ml, "et": voxels_ml})
    assert [numbers[f"absence_{name}"] for name in ("tc", "wt", "et")] == [0, 0, 0]
    values = np.array([10] * 8 + [30] * 7 + [50])
    counted = np.clip(values, *np.percentile(values, (0.5, 99.5)))
    places = (values - counted.mean()) / counted.std()
    counts, _ = np.histogram(places, bins=STANDARDIZED.number, range=STANDARDIZED[:2])
    assert numbers["intensity_t1"] == pytest.approx(counts / 16)


def test_a_scanners_gain_changes_the_scale_and_not_the_intensities(tmp_path):
    image = head()
    first = describe(tmp_path / "1", {"t1": image})
    second = describe(tmp_path / "2", {"t1": image * np.int16(7)})
    assert second["intensity_t1"] == pytest.approx(first["intensity_t1"])
    assert second["scale_t1"] == pytest.approx(np.log10(7) + first["scale_t1"])


def test_what_lies_beyond_the_range_is_in_the_last_bin(tmp_path):
    image = head()
    image[5, 5, 5] = 30000
    shares = describe(tmp_path, {"t1": image})["intensity_t1"]
    assert sum(shares) == pytest.approx(1)
    assert shares[-1] == pytest.approx(1 / np.count_nonzero(image))


def test_an_unlabeled_case_has_no_volumes(tmp_path):
    described = describe(tmp_path, {"t1": head()})
    assert not any(name.startswith(("volume", "absence")) for name in described)
    assert {"intensity_t1", "scale_t1", "spacing_x", "extent_z"} <= described.keys()


def test_a_case_is_read_once(hospital, tmp_path, monkeypatch):
    for name in ("A", "B"):
        hospital.brats(name)
    first, _ = kept_numbers(hospital, tmp_path)
    read = []
    monkeypatch.setattr(VolumeFeatures, "describe", lambda self, native: read.append(native) or 1 / 0)
    again, _ = kept_numbers(hospital, tmp_path)
    assert again == first
    assert not read


def test_a_changed_file_is_read_again(hospital, tmp_path):
    hospital.brats("A")
    before = kept_numbers(hospital, tmp_path)[0]["A"]
    hospital.image("A/A_t1.nii.gz", head(seed=99))
    after = kept_numbers(hospital, tmp_path)[0]["A"]
    assert after.values["intensity_t1"] != before.values["intensity_t1"]
    assert after.values["intensity_t2"] == before.values["intensity_t2"]


def test_a_damaged_entry_is_made_again(hospital, tmp_path):
    hospital.brats("A")
    first, _ = kept_numbers(hospital, tmp_path)
    (entry,) = (tmp_path / "cache/statistics").iterdir()
    entry.write_text(entry.read_text()[:40])
    assert kept_numbers(hospital, tmp_path)[0] == first


def test_a_bad_case_is_a_problem_and_the_others_are_described(hospital, tmp_path):
    hospital.brats("A")
    hospital.brats("B")
    hospital.image("B/B_t2.nii.gz", np.zeros((12, 14, 10), dtype=np.int16))
    described, problems = kept_numbers(hospital, tmp_path)
    assert list(described) == ["A"]
    assert [(problem.case_id, problem.code.value) for problem in problems] == [("B", "constant_image")]


def test_nothing_is_written_into_the_hospitals_folder(hospital, tmp_path):
    hospital.brats("A")
    before = sorted(hospital.folder.rglob("*"))
    kept_numbers(hospital, tmp_path)
    assert sorted(hospital.folder.rglob("*")) == before


def test_stopping_keeps_what_is_ready(hospital, tmp_path):
    for name in ("A", "B"):
        hospital.brats(name)
    asked = iter([False, False, False, True])  # before each is recalled, then before each is read
    with pytest.raises(Cancelled):
        kept_numbers(hospital, tmp_path, cancelled=lambda: next(asked))
    assert len(list((tmp_path / "cache/statistics").iterdir())) == 1
