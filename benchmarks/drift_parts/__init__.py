"""Parts of `drift.py`."""
