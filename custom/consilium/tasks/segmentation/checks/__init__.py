"""Checks of volumes and of the labels on them."""
