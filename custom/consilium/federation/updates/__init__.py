"""Screening, spooling and aggregation of client updates."""
