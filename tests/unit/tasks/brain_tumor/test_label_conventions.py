import numpy as np
import pytest

from consilium.errors import DataError
from consilium.tasks.brain_tumor.label_conventions import LabelConvention, Tissue
from consilium.tasks.segmentation.labels import label_values, rounding_noise, to_classes


@pytest.mark.parametrize(
    ("convention", "stored", "tissues"),
    [
        (
            LabelConvention.BRATS_2018,
            [0, 1, 2, 4],
            [Tissue.BACKGROUND, Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING],
        ),
        (
            LabelConvention.BRATS_2023,
            [0, 1, 2, 3],
            [Tissue.BACKGROUND, Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING],
        ),
        (
            LabelConvention.BRATS_2024,
            [1, 2, 3, 4],
            [Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING, Tissue.RESECTION_CAVITY],
        ),
        (
            LabelConvention.BRATS_2015,
            [0, 1, 2, 3, 4],
            [Tissue.BACKGROUND, Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.NECROTIC_CORE, Tissue.ENHANCING],
        ),
        (
            LabelConvention.BRATS_PED_2024,
            [0, 1, 2, 3, 4],
            [Tissue.BACKGROUND, Tissue.ENHANCING, Tissue.NECROTIC_CORE, Tissue.NECROTIC_CORE, Tissue.EDEMA],
        ),
        (
            LabelConvention.DECATHLON,
            [0, 1, 2, 3],
            [Tissue.BACKGROUND, Tissue.EDEMA, Tissue.NECROTIC_CORE, Tissue.ENHANCING],
        ),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_file_values_become_tissues(convention, stored, tissues, dtype):
    translated = to_classes(
        np.array([stored, stored[::-1]], dtype=dtype), convention.values, convention.value
    )
    assert translated.dtype == np.uint8
    assert translated.tolist() == [tissues, tissues[::-1]]


@pytest.mark.parametrize(
    ("array", "seen"),
    [
        (np.array([0, 3], np.uint8), "3"),
        (np.array([1, 255], np.uint8), "255"),
        (np.array([1, -1], np.int16), "-1"),
        (np.array([1, 257], np.int16), "257"),  # 257 is 1 in eight bits
        (np.array([1, 0.5], np.float32), "0.5"),
        (np.array([1, np.nan], np.float32), "nan"),
    ],
)
def test_a_value_outside_the_convention_is_named(array, seen):
    with pytest.raises(DataError, match=rf"holds {seen}, which brats-2018 doesn't know"):
        to_classes(array, LabelConvention.BRATS_2018.values, LabelConvention.BRATS_2018.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_label_values_are_whole_numbers_whatever_the_storage(dtype):
    values = label_values(np.array([[0, 2], [4, 2]], dtype=dtype))
    assert values == {2, 4}
    assert all(isinstance(value, int) for value in values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1.0000153, 0.99985, 1.0002])
def test_values_that_a_scaled_header_moved_by_rounding_are_the_whole_numbers(dtype, factor):
    stored = np.array([0, 1, 2, 4], dtype=dtype) * dtype(factor)
    assert label_values(stored) == {1, 2, 4}
    assert to_classes(
        stored, LabelConvention.BRATS_2018.values, LabelConvention.BRATS_2018.value
    ).tolist() == [0, 1, 2, 3]
    assert 0 < rounding_noise(stored) <= 1e-3


@pytest.mark.parametrize("value", [1.0015, 1.5, float("nan"), float("inf")])
def test_one_value_that_is_no_rounding_leaves_all_as_they_are(value):
    stored = np.array([0, 1.0000153, value])
    assert 1.0000153 in label_values(stored)
    with pytest.raises(DataError):
        to_classes(stored, LabelConvention.BRATS_2018.values, LabelConvention.BRATS_2018.value)
