"""Label conventions of brain tumor cohorts, and the one order of tissues that everything else uses.

The same number means different tissues in different releases: enhancing tumor is 4 until BraTS 2021, 3 from
2023 on and 1 in children, BraTS 2024 gives 4 to the resection cavity, and the Decathlon swaps 1 and 2.
The wrong reading trains a model without any error, so nothing past preprocessing sees the values of a file.
"""

from collections.abc import Collection, Mapping
from enum import Enum, IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from consilium.errors import DataError


class Tissue(IntEnum):
    """The value of each tissue in a canonical label."""

    BACKGROUND = 0
    NECROTIC_CORE = 1
    """Necrotic, cystic and non-enhancing tumor core."""
    EDEMA = 2
    """Peritumoral edema and infiltration."""
    ENHANCING = 3
    RESECTION_CAVITY = 4


class LabelConvention(str, Enum):
    """What the numbers in a site's label files mean."""

    BRATS_2015 = "brats-2015"
    """BraTS 2012 to 2015: 3 is non-enhancing tumor (Menze et al. 2015, doi 10.1109/TMI.2014.2377694)."""
    BRATS_2018 = "brats-2018"
    """BraTS 2018 to 2021: 4 is enhancing tumor and 3 is unused."""
    BRATS_2023 = "brats-2023"
    BRATS_2024 = "brats-2024"
    """BraTS 2024, after treatment: as 2023, and 4 is the resection cavity."""
    BRATS_PED_2024 = "brats-ped-2024"
    """BraTS-PEDs 2024, children: 1 enhancing, 2 non-enhancing tumor, 3 cystic component, 4 edema.

    Tumor core is 1, 2 and 3 there (arXiv 2404.15009), so a cyst counts as non-enhancing core. BraTS-PEDs 2023
    had the values of `brats-2023`, cysts among its 1 (arXiv 2305.17033).
    """
    DECATHLON = "decathlon"
    """Medical Segmentation Decathlon, Task01: 1 is edema, 2 the non-enhancing core."""

    @property
    def values(self) -> Mapping[int, Tissue]:
        """File value to tissue, background included."""
        return _VALUES[self]

    def to_tissue(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        """Translate file values to canonical tissues.

        Args:
            array: Label of any shape and number type, as stored in the file; see `whole_values`.

        Returns:
            An array of the same shape that holds `Tissue` values.

        Raises:
            DataError: The array holds a value that this convention doesn't know.
        """
        array = whole_values(array)
        with np.errstate(invalid="ignore"):  # NaN has no uint8; the comparison below finds it
            index = array.astype(np.uint8, copy=False)
        tissues = _LOOKUP[self][index]
        if (index is not array and not np.array_equal(index, array)) or (tissues == _UNKNOWN).any():
            unknown = label_values(array) - self.values.keys()
            raise DataError(
                f"The label holds {list_values(unknown)}, which {self.value} doesn't know; "
                f"its values are {list_values(self.values)}."
            )
        return tissues


ROUNDING: Final = 1e-3
"""How far a label's value may lie from a whole number: a scaled header turns 1 into 1.0000153."""


def whole_values(array: NDArray[Any]) -> NDArray[Any]:
    """Return a label with the noise of rounding taken out, where every value is within `ROUNDING` of a whole.

    Args:
        array: Label of any shape and number type.

    Returns:
        The array itself where nothing is rounded: a label with 1.5 in it stays what it is.
    """
    noise = rounding_noise(array)
    return np.rint(array) if 0 < noise <= ROUNDING else array


def rounding_noise(array: NDArray[Any]) -> float:
    """Return how far the values of a label lie from whole numbers at most; NaN where one is not finite."""
    if array.dtype.kind != "f" or not array.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.abs(array - np.rint(array)).max())


def list_values(values: Collection[float]) -> str:
    """Label values for a message; at most eight, since an image saved as a label holds thousands."""
    ordered = sorted(values)
    return ", ".join(map(str, ordered[:8])) + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")


def label_values(array: NDArray[Any]) -> frozenset[float]:
    """The distinct values of a label file other than 0.

    Args:
        array: Label of any shape and number type; see `whole_values`.

    Returns:
        The values other than 0; whole numbers come as int, so that messages read well.
    """
    array = whole_values(array)
    # Almost every voxel is background: dropping it first makes this five times faster on a BraTS label.
    marked = array[array != 0]
    found = np.flatnonzero(np.bincount(marked)) if marked.dtype == np.uint8 else np.unique(marked)
    return frozenset(int(value) if float(value).is_integer() else float(value) for value in found)


_UNKNOWN = 255

_VALUES: Mapping[LabelConvention, Mapping[int, Tissue]] = {
    LabelConvention.BRATS_2015: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        3: Tissue.NECROTIC_CORE,
        4: Tissue.ENHANCING,
    },
    LabelConvention.BRATS_2018: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        4: Tissue.ENHANCING,
    },
    LabelConvention.BRATS_2023: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        3: Tissue.ENHANCING,
    },
    LabelConvention.BRATS_2024: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        3: Tissue.ENHANCING,
        4: Tissue.RESECTION_CAVITY,
    },
    LabelConvention.BRATS_PED_2024: {
        0: Tissue.BACKGROUND,
        1: Tissue.ENHANCING,
        2: Tissue.NECROTIC_CORE,
        3: Tissue.NECROTIC_CORE,
        4: Tissue.EDEMA,
    },
    LabelConvention.DECATHLON: {
        0: Tissue.BACKGROUND,
        1: Tissue.EDEMA,
        2: Tissue.NECROTIC_CORE,
        3: Tissue.ENHANCING,
    },
}


def _lookup(values: Mapping[int, Tissue]) -> NDArray[np.uint8]:
    """Table from file value to tissue, `_UNKNOWN` where there is none."""
    table = np.full(256, _UNKNOWN, dtype=np.uint8)
    table[list(values)] = [tissue.value for tissue in values.values()]
    return table


_LOOKUP = {convention: _lookup(values) for convention, values in _VALUES.items()}
