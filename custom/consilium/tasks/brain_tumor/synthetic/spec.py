"""Specification of a synthetic cohort."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from consilium.settings import Settings
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.scanner import Scanner
from consilium.tasks.brain_tumor.synthetic.tumor import TumorMix
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout


class HospitalSpec(BaseModel):
    """One synthetic hospital.

    Args:
        name: Its folder, and what its patients are seeded from: another hospital's presence changes nothing
            here.
        layout: How it stores its cases.
        cases: How many patients it has.
        scanner: What it images them with.
        missing_et: Share of patients without enhancing tumor (low-grade gliomas), 0 to 1. Dealt out evenly,
            so a hospital of 10 with 0.2 has exactly 2.
        cropped: Share of patients whose images lack the base of the brain, often its top, too.
        resected: Share of patients whose tumor was operated on: a cavity and what was left of the tumor.
        tumor_mix: How often each tumor size occurs.
        label_margin_mm: How far beyond the edge of edema its raters draw; negative: within it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    layout: CaseLayout
    cases: int = Field(ge=1, le=9999)
    scanner: Scanner = Scanner()
    missing_et: float = Field(default=0.1, ge=0, le=1)
    cropped: float = Field(default=0.0, ge=0, le=1)
    resected: float = Field(default=0.0, ge=0, le=1)
    tumor_mix: TumorMix = TumorMix()
    label_margin_mm: float = Field(default=0.0, ge=-6, le=6)


class CohortSpec(Settings):
    """Specification of a cohort; it makes the same arrays with any number of workers.

    Args:
        hospitals: The hospitals, of different names.
        grid: The voxels that every image is stored on.
        seed: Another seed makes other patients.
    """

    hospitals: tuple[HospitalSpec, ...] = Field(min_length=1)
    grid: VoxelGrid = VoxelGrid()
    seed: int = Field(default=0, ge=0, lt=2**63)

    @field_validator("hospitals")
    @classmethod
    def _unique_names(cls, hospitals: tuple[HospitalSpec, ...]) -> tuple[HospitalSpec, ...]:
        names = [hospital.name for hospital in hospitals]
        if len(set(names)) < len(names):
            raise ValueError(f"hospital names must differ, got {', '.join(names)}")
        return hospitals
