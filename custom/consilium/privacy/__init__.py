"""Differential privacy by patient, and the audit of it."""
