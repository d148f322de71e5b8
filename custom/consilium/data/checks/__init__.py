"""Checks of a hospital's data before anything runs on it: `check_cohort` decides which cases are used."""

from consilium.data.checks.accepted_findings import AcceptedFindings
from consilium.data.checks.exclusion import CheckedCohort, check_cohort, recall_cohort
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode, Severity

__all__ = [
    "AcceptedFindings",
    "CheckedCohort",
    "Finding",
    "ProblemCode",
    "Severity",
    "check_cohort",
    "recall_cohort",
]
