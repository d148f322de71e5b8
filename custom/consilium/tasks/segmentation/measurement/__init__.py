"""Accuracy of a segmented case: overlap, surfaces, lesions, and how the values are counted over patients."""
