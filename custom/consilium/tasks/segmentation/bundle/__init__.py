"""MONAI bundles of segmentations: their configuration, and the transforms that they ship with."""
