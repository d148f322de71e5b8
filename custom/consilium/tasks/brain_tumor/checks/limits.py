"""Limits of the generic volume checks, measured on brain MRI without the skull."""

from __future__ import annotations

from typing import Final

from consilium.tasks.segmentation.checks.limits import OutlierLimits, RegistrationLimits

BRAIN_OUTLIERS: Final = OutlierLimits(far=10.0, flattened=1.2, gap=0.5, odd_slice=1.2)
"""Twelve images of three real patients reach at most 4.4, 1.05, 0.06 and 0.4 (`odd_slice`: 0.6 in healthy
synthetic ones); where voxels overflow, `far` is 20 or more."""

BRAIN_REGISTRATION: Final = RegistrationLimits(
    agreement=0.75, sure_agreement=0.93, gain=0.06, certain_agreement=0.7, certain_gain=0.2
)
"""Edges agree by 0.86 or more in 80 healthy synthetic and three real patients, and by up to 0.86 between two
synthetic patients, who share an atlas. Images of real patients that were moved by 8 mm or turned upside down
agreed by 0.51 to 0.65 and gained 0.2 or more."""
