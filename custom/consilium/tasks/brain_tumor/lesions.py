"""Definition of a separate lesion in a patient with a glioma."""

from __future__ import annotations

from typing import Final

from consilium.tasks.segmentation.measurement.definitions import LesionRule
from consilium.tasks.segmentation.metrics import HD95_WHEN_ONE_IS_EMPTY_MM

GLIOMA_LESIONS: Final = LesionRule(dilation_mm=3.0, ignored_mm3=50.0, penalty_mm=HD95_WHEN_ONE_IS_EMPTY_MM)
"""BraTS 2023 for adult gliomas: components that a dilation by 3 mm joins are one lesion, and lesions of up to
50 mm³ are ignored (https://github.com/rachitsaluja/BraTS-2023-Metrics)."""
