"""MR signal of tissues, by the spin-echo and inversion-recovery equations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.healthy_signs import HealthySigns
from consilium.tasks.brain_tumor.synthetic.noise import FloatMap, smooth_noise
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor


class Sequence(BaseModel):
    """Timing of a pulse sequence.

    Args:
        tr_ms: Repetition time.
        te_ms: Echo time.
        ti_ms: Inversion time; None without inversion pulse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tr_ms: float = Field(gt=0)
    te_ms: float = Field(gt=0)
    ti_ms: float | None = Field(default=None, gt=0)


class TissueProperties(NamedTuple):
    """MR properties of a tissue at 3 T.

    Args:
        t1_ms: Longitudinal relaxation time.
        t2_ms: Transverse relaxation time.
        density: Proton density relative to water.
        agent_mmol: Concentration of contrast agent that it takes up, in mmol/l.
        spread: Relative standard deviation of both relaxation times over patients and within one tissue.
    """

    t1_ms: float
    t2_ms: float
    density: float
    agent_mmol: float
    spread: float


# Healthy tissue: Wansapura et al. 1999 and Stanisz et al. 2005 at 3 T, rounded. Tumor parts: typical values
# of relaxometry in glioblastoma (Hattingen et al. 2013, Lescher et al. 2015).
TISSUES: Mapping[str, TissueProperties] = {
    "gray": TissueProperties(1450, 98, 0.81, 0.01, 0.05),
    "white": TissueProperties(820, 74, 0.71, 0.005, 0.04),
    "csf": TissueProperties(4200, 1200, 1.00, 0.0, 0.03),
    "vessel": TissueProperties(1900, 60, 0.85, 0.6, 0.10),
    "necrosis": TissueProperties(2300, 250, 0.94, 0.02, 0.09),
    "solid": TissueProperties(1850, 150, 0.87, 0.02, 0.10),
    "enhancing": TissueProperties(1600, 130, 0.84, 0.24, 0.14),
    "edema": TissueProperties(1750, 165, 0.86, 0.005, 0.09),
    "gliosis": TissueProperties(1500, 140, 0.85, 0.005, 0.09),
    "bright_gray": TissueProperties(1450, 126, 0.84, 0.01, 0.06),
}

_APART_MM = 3.0
_FREE_WATER_T1_MS = 4000.0
# Relaxivity of gadobutrol in plasma at 3 T, l/(mmol s).
_R1, _R2 = 5.0, 7.1


@dataclass(frozen=True)
class Specimen:
    """Tissue maps of a patient for a scanner. All maps are `(X, Y, Z)`.

    Args:
        shares: Share of each tissue of `TISSUES` in each voxel.
        texture: Fine structure: how much more or less water than usual for its tissue a voxel holds, unit
            variance.
        patient: The same for a tissue of this patient as a whole.
    """

    shares: Mapping[str, FloatMap]
    texture: FloatMap
    patient: Mapping[str, float]


def make_specimen(head: Head, tumor: Tumor, healthy: HealthySigns, rng: np.random.Generator) -> Specimen:
    """Put a tumor into a head: the core replaces what was there, edema mixes with it.

    Args:
        head: The anatomy.
        tumor: The tumor.
        healthy: What looks like a tumor in some image and is none.
        rng: The source of randomness.
    """
    core = np.clip(tumor.necrosis + tumor.solid + tumor.enhancing, 0, 1)
    spared = (1 - core) * (1 - tumor.edema)
    apart = _apart(tumor, head.spacing_mm)
    gliosis, bright_gray = healthy.gliosis * apart, healthy.bright_gray * apart
    bloodless = spared * (1 - healthy.vessel)
    tissue = bloodless * (1 - gliosis)
    shares = {
        "gray": tissue * (1 - bright_gray) * head.gray,
        "white": tissue * (1 - bright_gray) * head.white,
        "csf": tissue * head.csf,
        "vessel": spared * healthy.vessel,
        "necrosis": tumor.necrosis,
        "solid": tumor.solid,
        "enhancing": tumor.enhancing,
        "edema": (1 - core) * tumor.edema,
        "gliosis": bloodless * gliosis,
        "bright_gray": tissue * bright_gray * (head.gray + head.white),
    }
    texture = 0.5 * smooth_noise(rng, head.brain.shape, width_mm=3, spacing_mm=head.spacing_mm)
    texture += 0.85 * smooth_noise(rng, head.brain.shape, width_mm=8, spacing_mm=head.spacing_mm)
    return Specimen(shares, texture, {name: float(rng.normal(0, 0.7)) for name in TISSUES})


def _apart(tumor: Tumor, spacing_mm: float) -> FloatMap:
    """How far a voxel is from the tumor: 0 in and beside it, 1 from some 5 mm on.

    Readers count what is bright on FLAIR beside a tumor as a part of it, so nothing else shines there.
    """
    near = ndimage.gaussian_filter((tumor.label > 0).astype(np.float32), _APART_MM / spacing_mm)
    return cast("FloatMap", np.clip(1.2 - 3 * near, 0, 1))


def signal_map(specimen: Specimen, sequence: Sequence, *, tesla: float, agent: bool) -> FloatMap:
    """The ideal image `(X, Y, Z)` of a specimen: no noise, no bias, signed for inversion recovery.

    A voxel's signal is the share-weighted mean of its tissues' signals. Texture moves T1 and T2 together, as
    water content does, so that what is darker on T1 is brighter on T2.

    Args:
        specimen: What is imaged.
        sequence: Its timing.
        tesla: Field strength.
        agent: Whether contrast agent was given.
    """
    image = np.zeros_like(specimen.texture)
    for name, share in specimen.shares.items():
        tissue = TISSUES[name]
        dry, usual, wet = (
            tissue_signal(tissue, sequence, tesla=tesla, agent=agent, water=1 + k * tissue.spread)
            for k in (-1, 0, 1)
        )
        slope = (wet - dry) / 2
        image += share * (
            np.float32(usual + specimen.patient[name] * slope) + np.float32(slope) * specimen.texture
        )
    return image


def tissue_signal(
    tissue: TissueProperties, sequence: Sequence, *, tesla: float, agent: bool, water: float = 1.0
) -> float:
    """Signal of one tissue relative to pure, fully relaxed water.

    T1 grows with the field as its 0.4th power (after Bottomley et al. 1984); T2 hardly changes. Contrast
    agent adds its relaxivity times its concentration to both rates.

    Args:
        tissue: The tissue.
        sequence: The timing.
        tesla: Field strength.
        agent: Whether contrast agent was given.
        water: Factor on both relaxation times.
    """
    # Free water has the same T1 at every field strength.
    t1 = tissue.t1_ms * water * (1.0 if tissue.t1_ms > _FREE_WATER_T1_MS else (tesla / 3) ** 0.4)
    t2 = tissue.t2_ms * water
    if agent:
        # Wetter tumor is less vital: fewer vessels bring it less agent.
        uptake = tissue.agent_mmol / 1000 / water**3
        t1, t2 = 1 / (1 / t1 + _R1 * uptake), 1 / (1 / t2 + _R2 * uptake)
    recovery = 1 - np.exp(-sequence.tr_ms / t1)
    if sequence.ti_ms is not None:
        recovery = 1 - 2 * np.exp(-sequence.ti_ms / t1) + np.exp(-sequence.tr_ms / t1)
    return float(tissue.density * recovery * np.exp(-sequence.te_ms / t2))
