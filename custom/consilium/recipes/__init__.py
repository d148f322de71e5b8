"""Recipes that build FLARE jobs, such as the folders in `jobs/`."""
