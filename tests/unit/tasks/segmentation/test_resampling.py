import numpy as np
import pytest
import torch

from consilium.tasks.segmentation.resampling import resample, resample_label


@pytest.mark.parametrize("shape", [(8, 9, 10), (16, 18, 20), (5, 7, 3), (2, 30, 10)])
def test_a_ramp_stays_where_it_is(shape):
    """Voxel centers of both grids lie on one line through the box, so a linear ramp must stay a ramp."""
    source = (8, 9, 10)
    ramp = _centers(source[1])[:, None].expand(*source).contiguous()
    found = resample(ramp[None], shape)[0]
    wanted = _centers(shape[1])[:, None].expand(*shape)
    # Beyond the outermost centers there is nothing to interpolate with.
    known = (_centers(shape[1]) >= 0.5 / source[1]) & (_centers(shape[1]) <= 1 - 0.5 / source[1])
    assert torch.allclose(found[:, known], wanted[:, known], atol=1e-5)


def test_strong_downsampling_averages_instead_of_skipping():
    """Every fourth slice is bright: linear interpolation would see all of them or none."""
    stripes = torch.zeros(1, 16, 4, 4)
    stripes[:, ::4] = 4.0
    assert torch.allclose(resample(stripes, (4, 4, 4)), torch.ones(1, 4, 4, 4))


def test_the_same_grid_changes_nothing():
    volume = torch.rand(2, 5, 6, 7)
    assert torch.equal(resample(volume, (5, 6, 7)), volume)


def test_nearest_invents_no_value():
    volume = torch.tensor([0.0, 1.0, 4.0, 2.0]).reshape(1, 4, 1, 1)
    assert set(resample(volume, (9, 2, 2), mode="nearest").unique().tolist()) <= {0.0, 1.0, 2.0, 4.0}


def test_a_label_keeps_its_tissues_and_its_place():
    label = np.zeros((12, 12, 12), np.uint8)
    label[2:6, 4:8, 4:8] = 2
    label[6:10, 4:8, 4:8] = 4
    fine = resample_label(label, (24, 24, 24))
    assert np.array_equal(np.unique(fine), [0, 2, 4])
    for value in (2, 4):
        coarse_center = np.argwhere(label == value).mean(axis=0) + 0.5
        fine_center = (np.argwhere(fine == value).mean(axis=0) + 0.5) / 2
        assert fine_center == pytest.approx(coarse_center, abs=0.1)
    assert np.array_equal(resample_label(fine, (12, 12, 12)), label)


def _centers(size: int) -> torch.Tensor:
    """Voxel centers of an axis as share of the box."""
    return (torch.arange(size) + 0.5) / size
