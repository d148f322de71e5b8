"""Names of patients in public collections of brain tumors.

A patient's place in training or validation is permanent, and depends on these patterns: add to them, and
change none.
"""

from __future__ import annotations

from typing import Final

from consilium.data.visits import DATE, PatientNames

PATIENT_NAMES: Final = PatientNames(
    collections={
        "BraTS 2023 and later": r"(?P<patient>BraTS-\w+(?:-\w+)?-\d+)-\d{1,3}",
        "BraTS-Reg": r"(?P<patient>BraTSReg_\d+)_\d+_\d+",
        "UPENN-GBM": r"(?P<patient>UPENN-GBM-\d+)_\d+",
        "UCSD-PTGBM": r"(?P<patient>UCSD-PTGBM-\d+)_\d+",
        "RHUH-GBM": r"(?P<patient>RHUH-\d+)_\d+",
        "TCGA": r"(?P<patient>TCGA-\w\w-\w{4})[-_.].+",
        "CPTAC": r"(?P<patient>C3[LN]-\d{5})[-_.].+",
        "Ivy GAP": rf"(?P<patient>W\d+)_{DATE}",
    },
    sorting=("brats", "hgg", "lgg"),
)
"""Follow-ups in these collections. Those of UCSF-PDGM, UCSF-ALPTDG, LUMIERE and MU-Glioma-Post need no
pattern: a word for the visit comes after the patient's number."""
