import numpy as np
import pytest

from consilium.data.labels import LabelConvention, Tissue, label_values
from consilium.errors import DataError


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
    translated = convention.to_tissue(np.array([stored, stored[::-1]], dtype=dtype))
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
        LabelConvention.BRATS_2018.to_tissue(array)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_label_values_are_whole_numbers_whatever_the_storage(dtype):
    values = label_values(np.array([[0, 2], [4, 2]], dtype=dtype))
    assert values == {2, 4}
    assert all(isinstance(value, int) for value in values)
