"""Differential privacy by patient: mechanisms, their epsilon, a site's ledger and budget, and the audit."""
