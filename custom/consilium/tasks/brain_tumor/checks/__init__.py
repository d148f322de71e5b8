"""Checks of brain MRI with four contrasts and tumor labels."""
