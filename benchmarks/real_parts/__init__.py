"""Parts of `synthetic_to_real.py`."""
