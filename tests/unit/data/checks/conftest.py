"""Damaged patients for the tests of checks."""

from tasks.brain_tumor.checks.conftest import archive, check, kept, two_patients

__all__ = ["archive", "check", "kept", "two_patients"]
