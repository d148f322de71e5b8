"""Parts of `leakage.py`: attacks on updates and models, and how well they do."""
