"""The bins in which standardized intensities are counted, the same at every site."""

from typing import Final

INTENSITY_RANGE: Final = (-4.0, 6.0)
"""Standard deviations from the mean of the brain; the first and last bin hold what lies beyond."""

INTENSITY_BINS: Final = 50
