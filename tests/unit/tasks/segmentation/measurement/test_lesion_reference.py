"""Lesion-wise scores against a second implementation, on 200 random phantoms.

`by_the_definition` is written from the challenge's definition with other algorithms. Its distances come from
the library that the challenge uses, `surface-distance` of the package index; where that isn't installed, from
MONAI's areas and all pairs of points.
"""

import numpy as np
import pytest
import torch
from monai.metrics.utils import get_mask_edges
from scipy.spatial.distance import cdist

from consilium.tasks.brain_tumor.lesions import GLIOMA_LESIONS
from consilium.tasks.segmentation.measurement.lesions import score_lesions
from tasks.segmentation.measurement.by_the_definition import lesionwise
from tasks.segmentation.measurement.phantoms import UNIT, phantom

PHANTOMS = 200


def of_all_pairs(prediction, reference):
    """HD95 by area of the surface, from the distances of all pairs of points."""
    edges = get_mask_edges(torch.from_numpy(prediction), torch.from_numpy(reference), spacing=list(UNIT))
    *masks, areas, more_areas = (one.numpy() for one in edges)
    points = [np.argwhere(mask).astype(float) for mask in masks]
    distances = cdist(*points)
    sides = [(distances.min(axis=1), areas[masks[0]]), (distances.min(axis=0), more_areas[masks[1]])]
    return max(_percentile(*side) for side in sides)


def _percentile(distances, areas):
    order = np.argsort(distances)
    share = np.cumsum(areas[order].astype(float)) / areas.astype(float).sum()
    return distances[order][min(np.searchsorted(share, 0.95 - 1e-6), len(order) - 1)]


def compare(surface_distance_of, phantoms):
    seen = {"detected": 0, "missed": 0, "false_positives": 0, "ignored": 0}
    for seed in phantoms:
        prediction, reference = phantom(seed)
        found = score_lesions(prediction, reference, UNIT, GLIOMA_LESIONS)
        expected = lesionwise(prediction, reference, surface_distance_of)
        assert (found.dice, found.hd95_mm) == pytest.approx(tuple(expected), abs=1e-6), seed
        for name in seen:
            seen[name] += getattr(found, name)
    assert all(count >= len(phantoms) // 10 for count in seen.values()), seen


@pytest.mark.long
def test_scores_are_those_of_the_definition_with_the_library_of_the_challenge():
    library = pytest.importorskip("surface_distance", reason="the extra `dev` has surface-distance")

    def hd95(prediction, reference):
        distances = library.compute_surface_distances(reference, prediction, UNIT)
        return library.compute_robust_hausdorff(distances, 95)

    compare(hd95, range(PHANTOMS))


@pytest.mark.long
def test_scores_are_those_of_the_definition_with_all_pairs_of_points():
    compare(of_all_pairs, range(PHANTOMS, PHANTOMS + 40))
