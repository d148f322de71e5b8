"""Report of a readiness check: a page and tables."""
