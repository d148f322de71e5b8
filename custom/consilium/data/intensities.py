"""Intensities without a scanner's scale, and the bins in which every site counts them."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

INTENSITY_RANGE: Final = (-4.0, 6.0)
"""Standard deviations from the mean of the brain; the first and last bin hold what lies beyond."""

INTENSITY_BINS: Final = 50


def standardize(values: NDArray[Any]) -> NDArray[np.float64]:
    """Bring a modality's nonzero voxels to zero mean and unit standard deviation: what the network sees."""
    exact = values.astype(np.float64)
    exact -= exact.mean()
    exact /= exact.std()
    return exact
