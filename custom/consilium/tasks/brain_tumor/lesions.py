"""Definition of a separate lesion in a patient with a glioma."""

from __future__ import annotations

from typing import Final

from consilium.tasks.segmentation.measurement.definitions import LesionRule

PENALTY_MM: Final = 374.0
"""HD95 where only one of prediction and reference is empty: about the diagonal of a 240x240x155 mm volume,
the value that BraTS uses since 2020."""

GLIOMA_LESIONS: Final = LesionRule(dilation_mm=3.0, ignored_mm3=50.0, penalty_mm=PENALTY_MM)
"""BraTS 2023 for adult gliomas: components that a dilation by 3 mm joins are one lesion, and lesions of up to
50 mm³ are ignored (https://github.com/rachitsaluja/BraTS-2023-Metrics)."""
