"""Simulated scanners of hospitals."""

from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.noise import BoolMap, FloatMap, smooth_noise
from consilium.tasks.brain_tumor.synthetic.signal import Sequence, Specimen, signal_map

Modality: TypeAlias = Literal["t1", "t1ce", "t2", "flair"]
MODALITIES: tuple[Modality, ...] = ("t1", "t1ce", "t2", "flair")


class Scanner(BaseModel):
    """One hospital's scanner and protocol.

    Args:
        tesla: Field strength.
        t1: Timing of T1 before and after contrast agent.
        t2: Timing of T2.
        flair: Timing of FLAIR; its inversion time is the one that nulls CSF.
        in_plane_mm: Resolution within an axial slice.
        slice_mm: Thickness of an axial slice; FLAIR and T2 are taken with it, T1 with half of it.
        snr: Median signal of the brain over the standard deviation of the noise.
        bias: Standard deviation of the log of the receive field across the head.
        gain: Stored units per unit of signal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tesla: float = Field(default=3.0, ge=0.5, le=7.0)
    t1: Sequence = Sequence(tr_ms=600, te_ms=12)
    t2: Sequence = Sequence(tr_ms=5000, te_ms=95)
    flair: Sequence = Sequence(tr_ms=9000, te_ms=110, ti_ms=2500)
    in_plane_mm: float = Field(default=1.0, gt=0, le=5)
    slice_mm: float = Field(default=1.0, gt=0, le=10)
    snr: float = Field(default=40.0, gt=1)
    bias: float = Field(default=0.08, ge=0, le=0.5)
    gain: float = Field(default=2000.0, gt=0)


def acquire(
    scanner: Scanner, specimen: Specimen, brain: BoolMap, spacing_mm: float, rng: np.random.Generator
) -> dict[Modality, npt.NDArray[np.int16]]:
    """Take the four images of a patient, skull-stripped: 0 outside `brain`, at least 1 inside.

    Args:
        scanner: The hospital's scanner.
        specimen: The patient.
        brain: The brain mask, `(X, Y, Z)`.
        spacing_mm: Size of a voxel.
        rng: The source of randomness.

    Returns:
        One `(X, Y, Z)` image a modality.
    """
    bias = np.exp(
        np.float32(scanner.bias) * smooth_noise(rng, brain.shape, width_mm=70, spacing_mm=spacing_mm)
    )
    images: dict[Modality, npt.NDArray[np.int16]] = {}
    for modality in MODALITIES:
        sequence = {"t1": scanner.t1, "t1ce": scanner.t1, "t2": scanner.t2, "flair": scanner.flair}[modality]
        ideal = signal_map(specimen, sequence, tesla=scanner.tesla, agent=modality == "t1ce") * bias
        slice_mm = scanner.slice_mm * (0.5 if modality in ("t1", "t1ce") else 1.0)
        blurred = ndimage.gaussian_filter(ideal, _blur(scanner.in_plane_mm, slice_mm, spacing_mm))
        noise = np.median(np.abs(blurred[brain])) / scanner.snr
        magnitude = _rician(blurred, float(noise), rng) * scanner.gain * rng.uniform(0.85, 1.15)
        images[modality] = np.where(brain, np.clip(np.rint(magnitude), 1, 32767), 0).astype(np.int16)
    return images


def _blur(in_plane_mm: float, slice_mm: float, spacing_mm: float) -> tuple[float, float, float]:
    """Standard deviations, in voxels, that bring `spacing_mm` to the resolution of the acquisition."""
    plane, through = (
        0.42 * np.sqrt(max(size**2 - spacing_mm**2, 0)) / spacing_mm for size in (in_plane_mm, slice_mm)
    )
    return plane, plane, through


def _rician(image: FloatMap, noise: float, rng: np.random.Generator) -> FloatMap:
    """Magnitude of a complex image with Gaussian noise in both channels."""
    real = image + np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return cast("FloatMap", np.sqrt(real**2 + imaginary**2))
