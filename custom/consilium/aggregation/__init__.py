"""Combining of updates: shares, rules, forms, and updates that are too long; numpy only."""
