"""Parts of `dice_epsilon.py`."""
