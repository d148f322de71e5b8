"""Consilium: hospitals train, judge and ship one medical imaging model with NVIDIA FLARE and MONAI."""

from importlib.metadata import version

__version__ = version("consilium")
