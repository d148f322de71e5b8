"""Pairs of masks with lesions: near, far, large, small, moved, missed, added, and specks."""

from __future__ import annotations

import numpy as np

UNIT = (1.0, 1.0, 1.0)


def ball(shape, center, radii):
    """An ellipsoid, in voxels."""
    grid = np.indices(shape, dtype=float)
    center, radii = (np.asarray(one, dtype=float)[:, None, None, None] for one in (center, radii))
    return (((grid - center) / radii) ** 2).sum(axis=0) <= 1


def block(shape, *corners):
    """Boxes, each from a first to a last corner, that one not included."""
    mask = np.zeros(shape, bool)
    for first, last in corners:
        mask[tuple(map(slice, first, last))] = True
    return mask


def phantom(seed):
    """Prediction and reference of a random patient, on a grid of some 30 voxels."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(20, 36, 3))
    prediction, reference = np.zeros((2, *shape), bool)
    for _ in range(random.integers(0, 7)):
        center, radii = random.uniform(0, shape), random.uniform(0.8, 6, 3)
        fate = random.choice(["moved", "moved", "moved", "missed", "added"])
        if fate != "added":
            reference |= ball(shape, center, radii)
        if fate != "missed":
            prediction |= ball(shape, center + random.normal(0, 1.5, 3), radii * random.uniform(0.7, 1.3, 3))
    if random.random() < 0.2:
        prediction ^= random.random(shape) < 5e-4
    if random.random() < 0.2:
        reference |= random.random(shape) < 5e-4
    return prediction, reference
