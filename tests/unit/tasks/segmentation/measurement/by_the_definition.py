"""Lesion-wise scores straight from the definition of BraTS 2023, by other algorithms than the package's.

Parts are connected by a graph of neighboring voxels, the dilation is three steps of the 18-neighborhood for
each lesion alone, lesions are compared one by one on the whole image, and distances come from
`surface_distance_of`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

EIGHTEEN = ndimage.generate_binary_structure(3, 2)


def parts_of(mask):
    """The sets of voxels that hang together by faces, edges or corners."""
    voxels = np.argwhere(mask)
    pairs = KDTree(voxels).query_pairs(1.8, output_type="ndarray") if len(voxels) else np.empty((0, 2), int)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(voxels),) * 2)
    number, labels = connected_components(graph, directed=False) if len(voxels) else (0, np.empty(0))
    found = []
    for one in range(number):
        part = np.zeros(mask.shape, bool)
        part[tuple(voxels[labels == one].T)] = True
        found.append(part)
    return found


def grown(mask):
    return ndimage.binary_dilation(mask, EIGHTEEN, iterations=3)


def lesionwise(prediction, reference, surface_distance_of, *, ignored=50, penalty=374.0):
    """Dice and HD95 at voxels of 1 mm.

    Args:
        surface_distance_of: HD95 of two masks.
    """
    lesions = [reference & zone for zone in parts_of(grown(reference))]
    predicted = parts_of(prediction)
    used = set()
    scores = []
    for lesion in lesions:
        zone = grown(lesion)
        touching = [number for number, part in enumerate(predicted) if (part & zone).any()]
        used.update(touching)
        if lesion.sum() <= ignored:
            continue
        if not touching:
            scores.append((0.0, penalty))
            continue
        found = np.any([predicted[number] for number in touching], axis=0)
        dice = 2 * (found & lesion).sum() / (found.sum() + lesion.sum())
        scores.append((dice, surface_distance_of(found, lesion)))
    scores += [(0.0, penalty)] * (len(predicted) - len(used))
    return np.mean(scores, axis=0) if scores else np.array([1.0, 0.0])
