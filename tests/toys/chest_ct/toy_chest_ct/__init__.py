"""Segmentation of lesions in chest CT: an example of a package that brings a task."""
