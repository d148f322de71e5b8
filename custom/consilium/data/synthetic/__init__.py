"""Synthetic hospitals: real anatomy, simulated gliomas, a different scanner in each."""

from consilium.data.synthetic.cohort import Cohort, make_cohort
from consilium.data.synthetic.demo import DEMO_COHORT
from consilium.data.synthetic.grid import Grid
from consilium.data.synthetic.patient import Patient, make_patient
from consilium.data.synthetic.scanner import Scanner
from consilium.data.synthetic.signal import Sequence
from consilium.data.synthetic.spec import CohortSpec, HospitalSpec
from consilium.data.synthetic.tumor import Label, TumorMix
from consilium.data.synthetic.writers import Layout

__all__ = [
    "DEMO_COHORT",
    "Cohort",
    "CohortSpec",
    "Grid",
    "HospitalSpec",
    "Label",
    "Layout",
    "Patient",
    "Scanner",
    "Sequence",
    "TumorMix",
    "make_cohort",
    "make_patient",
]
