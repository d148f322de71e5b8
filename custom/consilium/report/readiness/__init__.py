"""The readiness check, as a page and as tables."""
