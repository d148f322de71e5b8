"""Accuracy of segmented cases: overlap, surfaces, lesions, and their histograms over patients."""
