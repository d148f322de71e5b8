"""Limits of the checks that depend on what a problem's images show; each problem states its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OutlierLimits:
    """Limits for voxels and slices of images without a unit of intensity.

    Measure them on intact cases of the problem, and choose them well above what those reach.

    Args:
        far: Distances of the 0.5 or 99.5 percentile from the median beyond which a value is of no tissue.
        flattened: Standard deviation of all voxels over that of the plausible ones, beyond which outliers
            flatten the rest of a normalized image.
        gap: Largest share of the range of values that may be empty, as numbers that wrapped around leave it.
        odd_slice: Largest difference of a slice's mean from those of the slices around it, in standard
            deviations of the image.
    """

    far: float
    flattened: float
    gap: float
    odd_slice: float


@dataclass(frozen=True, kw_only=True)
class RegistrationLimits:
    """Limits for the correlation between the edges of a case's images, which show one body.

    Args:
        agreement: Correlation below which two images may not show one body.
        sure_agreement: Correlation above which no better position is searched.
        gain: Increase of the correlation in another position from which an image counts as misplaced.
        certain_agreement: Correlation below which a gain of `certain_gain` leaves no doubt, if the whole
            anatomy is in view.
        certain_gain: That gain.
    """

    agreement: float
    sure_agreement: float
    gain: float
    certain_agreement: float
    certain_gain: float
