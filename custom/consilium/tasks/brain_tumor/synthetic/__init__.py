"""Synthetic hospitals with real anatomy, simulated gliomas and different scanners."""

from consilium.tasks.brain_tumor.synthetic.cohort import make_cohort
from consilium.tasks.brain_tumor.synthetic.demo import DEMO_COHORT
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.patient import Patient, make_patient
from consilium.tasks.brain_tumor.synthetic.scanner import Scanner
from consilium.tasks.brain_tumor.synthetic.signal import Sequence
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.tumor import Label, TumorMix
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout

__all__ = [
    "DEMO_COHORT",
    "CaseLayout",
    "CohortSpec",
    "HospitalSpec",
    "Label",
    "Patient",
    "Scanner",
    "Sequence",
    "TumorMix",
    "VoxelGrid",
    "make_cohort",
    "make_patient",
]
