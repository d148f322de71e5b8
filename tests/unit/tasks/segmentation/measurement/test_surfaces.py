import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from consilium.tasks.segmentation.measurement.surfaces import boundary_distances, surface_distances
from tasks.segmentation.measurement.phantoms import UNIT, block, phantom

SPACINGS = [UNIT, (0.5, 1.0, 3.0), (0.9375, 0.9375, 1.2)]
PAIRS = [pair for pair in map(phantom, range(16)) if all(mask.any() for mask in pair)]


def tensors(*masks):
    return [torch.from_numpy(mask)[None, None].float() for mask in masks]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_hd95_is_that_of_monai(spacing):
    assert len(PAIRS) >= 10
    for prediction, reference in PAIRS:
        expected = compute_hausdorff_distance(
            *tensors(prediction, reference), include_background=True, percentile=95, spacing=list(spacing)
        )
        found = boundary_distances(prediction, reference, spacing).hd95
        assert found == pytest.approx(float(expected), abs=1e-4, rel=1e-5)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("tolerance", [1.0, 2.0])
def test_surface_dice_is_that_of_monai(spacing, tolerance):
    for prediction, reference in PAIRS:
        expected = compute_surface_dice(
            *tensors(prediction, reference),
            [tolerance],
            include_background=True,
            spacing=list(spacing),
            use_subvoxels=True,
        )
        found = surface_distances(prediction, reference, spacing).surface_dice(tolerance)
        assert found == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_both_are_those_of_the_library_of_their_authors(spacing):
    library = pytest.importorskip("surface_distance", reason="the extra `dev` has surface-distance")
    for prediction, reference in PAIRS:
        theirs = library.compute_surface_distances(reference, prediction, spacing)
        ours = surface_distances(prediction, reference, spacing)
        assert ours.hd95_by_area == pytest.approx(library.compute_robust_hausdorff(theirs, 95), abs=1e-6)
        for tolerance in (1, 2):
            expected = library.compute_surface_dice_at_tolerance(theirs, tolerance)
            assert ours.surface_dice(tolerance) == pytest.approx(expected, abs=1e-6)


def test_a_slab_moved_by_two_voxels():
    shape = (20, 8, 8)
    first = block(shape, ((4, 0, 0), (8, 8, 8)))
    second = block(shape, ((6, 0, 0), (10, 8, 8)))
    distances = boundary_distances(first, second, (1.5, 1.0, 1.0))
    # The rims of both slabs overlap in two of four voxels; the planes lie 3 mm apart.
    assert distances.hd95 == 3.0
    assert surface_distances(first, second, (1.5, 1.0, 1.0)).surface_dice(3.0) == 1.0
    assert surface_distances(first, second, (1.5, 1.0, 1.0)).surface_dice(1.0) < 0.6


def test_a_mask_at_the_border_of_the_image_has_a_surface_there():
    whole = np.ones((6, 6, 6), bool)
    inner = block((6, 6, 6), ((1, 1, 1), (5, 5, 5)))
    # Of 152 boundary voxels 96 lie at 1 mm, 48 at the square root of 2, and 8 at that of 3.
    at_edge, at_corner = np.sqrt([2, 3])
    expected = at_edge + 0.45 * (at_corner - at_edge)
    assert boundary_distances(whole, inner, UNIT).hd95 == pytest.approx(expected)
    assert surface_distances(whole, inner, UNIT).surface_dice(1.0) < 1


def test_a_spacing_rounded_in_the_file_does_not_lose_the_tolerance():
    spacing = (float(np.float32(0.1)), 1.0, 1.0)  # 0.10000000149
    first, second = np.zeros((2, 40, 5, 5), bool)
    first[10:20], second[10:30] = True, True
    assert surface_distances(first, second, spacing).surface_dice(1.0) == 1.0


def test_the_95th_percentile_by_area_at_a_tie_is_the_shorter_distance():
    # Twenty single voxels, all of one area: 19 of them are 95 % of it, and lie on the other mask.
    first = np.zeros((80, 4, 20), bool)
    first[range(2, 78, 4), 1, 2] = True
    second = first.copy()
    first[2, 1, 12] = True
    assert surface_distances(first, second, UNIT).hd95_by_area == 0
    first[6, 1, 12] = True
    assert surface_distances(first, second, UNIT).hd95_by_area > 7
