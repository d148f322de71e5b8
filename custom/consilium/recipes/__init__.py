"""Recipes build FLARE jobs out of the parts below; the folders in `jobs/` are written by them."""
