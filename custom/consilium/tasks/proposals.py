"""Proposals of settings by a task, and the fingerprint that they are based on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Box: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class DataFingerprint:
    """Properties of the hospitals' data, from their records.

    Attributes:
        fewest_patients: At the hospital with the fewest.
        spacing_mm: Median voxel size along each axis; None where it is not known.
        extent_mm: Median size of the images along the same axes; None where it is not known.
        extent_of: What that size is of.
        scales: How many times brighter the images of one hospital are stored than those of another; None
            where that is not known.
    """

    fewest_patients: int
    spacing_mm: Box | None = None
    extent_mm: Box | None = None
    extent_of: str = ""
    scales: float | None = None


@dataclass(frozen=True)
class Fingerprint:
    """Properties of the hospitals' data and machines.

    Attributes:
        data: The data.
        machines: What is known about the machines, in words.
        gpu_gib: Memory of the smallest GPU, if every hospital that can train is known to have one.
    """

    data: DataFingerprint
    machines: str
    gpu_gib: float | None = None


@dataclass(frozen=True)
class Choice:
    """A proposed setting with its reason; `setting` is None for what is the same in every job."""

    setting: str | None
    value: Any
    reason: str

    def __str__(self) -> str:
        """Return, for example, `learning.spacing_mm=2.0: ...`."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return f"{self.setting}={value}: {self.reason}" if self.setting else f"{value}: {self.reason}"
