"""NIfTI files: header, volume, and what is written."""
