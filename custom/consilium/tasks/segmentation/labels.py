"""Meaning of the values in a site's label files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from consilium.errors import DataError

if TYPE_CHECKING:
    from consilium.tasks.segmentation.layouts.base import Layout

Values = frozenset[float]
"""The values other than 0 of one label."""

ROUNDING: Final = 1e-3
"""How far a label's value may lie from a whole number: a scaled header turns 1 into 1.0000153."""

_UNKNOWN: Final = 255


@dataclass(frozen=True)
class Reading:
    """Interpretation of a site's label values.

    Args:
        convention: The convention, by its name; None where the problem has but one.
        doubt: What speaks against it, where that is too little to stop: counts and values, nobody's id.
    """

    convention: str | None
    doubt: str | None = None


class Labels(Protocol):
    """Meaning of the numbers in label files of a problem."""

    @property
    def conventions(self) -> tuple[str, ...]:
        """Names of what they may mean at a hospital; empty where they mean the same everywhere."""

    @property
    def known_values(self) -> frozenset[int]:
        """The values that mean something in any convention."""

    def values(self, convention: str | None) -> Mapping[int, int]:
        """Return file value to class, background included, of a convention."""

    def decide(self, labels: Mapping[str, Values], layout: Layout, stated: str | None) -> Reading:
        """Decide once for a site what its labels mean.

        Args:
            labels: Values of each label, by case id; those of no convention left out.
            layout: What names and descriptions say.
            stated: What the hospital says: it is followed, and a doubt is still reported.

        Raises:
            FolderError: They can mean several things.
        """


@dataclass(frozen=True)
class FixedLabels:
    """Labels whose numbers mean the same everywhere.

    Args:
        classes: File value to class; 0 is background and need not be named.

    Example:
        >>> FixedLabels({1: 1}).values(None)
        {0: 0, 1: 1}
    """

    classes: Mapping[int, int]
    conventions: tuple[str, ...] = ()

    @property
    def known_values(self) -> frozenset[int]:
        """All values that mean something."""
        return frozenset(self.values(None))

    def values(self, convention: str | None) -> Mapping[int, int]:
        """Return file value to class."""
        return {0: 0, **self.classes}

    def decide(self, labels: Mapping[str, Values], layout: Layout, stated: str | None) -> Reading:
        """Return that there is nothing to decide."""
        return Reading(None)


def to_classes(array: NDArray[Any], values: Mapping[int, int], meaning: str) -> NDArray[np.uint8]:
    """Translate the values of a file to classes.

    Args:
        array: Label of any shape and number type, as stored in the file; see `whole_values`.
        values: File value to class, both below 255.
        meaning: What the values are called in a message.

    Returns:
        An array of the same shape.

    Raises:
        DataError: The array holds a value that means nothing.
    """
    table = np.full(256, _UNKNOWN, dtype=np.uint8)
    table[list(values)] = list(values.values())
    array = whole_values(array)
    with np.errstate(invalid="ignore"):  # NaN has no uint8; the comparison below finds it
        index = array.astype(np.uint8, copy=False)
    classes = table[index]
    if (index is not array and not np.array_equal(index, array)) or (classes == _UNKNOWN).any():
        unknown = label_values(array) - values.keys()
        raise DataError(
            f"The label holds {list_values(unknown)}, which {meaning} doesn't know; "
            f"its values are {list_values(values)}."
        )
    return classes


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
