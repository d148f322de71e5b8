"""Monitoring of a job: its progress record, metrics and curves."""
