from collections.abc import Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from consilium.tasks.brain_tumor.synthetic import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.head import Head, Mass, grow_head
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor

from .conftest import COARSE

Patients = Sequence[tuple[Head, Tumor]]


def _ml(share: np.ndarray, head: Head) -> float:
    return float(share.sum()) * head.spacing_mm**3 / 1000


def test_tissue_shares_fill_the_brain_and_nothing_else(grown: Patients) -> None:
    for head, _ in grown:
        total = head.gray + head.white + head.csf
        np.testing.assert_allclose(total[head.brain], 1, atol=1e-5)
        assert not total[~head.brain].any()


def test_volumes_are_those_of_adults(grown: Patients) -> None:
    for head, _ in grown:
        assert 1300 < _ml(head.brain, head) < 2300
        assert 600 < _ml(head.gray, head) < 1300
        assert 350 < _ml(head.white, head) < 1000
        assert 60 < _ml(head.csf, head) < 500


def test_patients_differ(grown: Patients) -> None:
    shapes = {head.brain.shape for head, _ in grown}
    assert len(shapes) > 1


def test_a_mass_pushes_the_midline_away(atlas: Atlas) -> None:
    seat = np.array([25.0, -20.0, 25.0])
    # The same patient twice, without and with a large mass: only the midline beside it may move.
    shifts = []
    for radius in (0.1, 25.0):
        head = grow_head(atlas, COARSE, Mass(seat, radius), np.random.default_rng(4))
        x, y, z = np.round(head.center_mm / head.spacing_mm).astype(int)
        row = head.side_mm[:, y, z] * np.sign(head.side_mm[x, y, z])
        shifts.append(np.abs(np.argmin(np.abs(row)) - x) * head.spacing_mm)
    assert shifts[1] > shifts[0]


def test_a_grid_that_cuts_the_head_is_rejected() -> None:
    with pytest.raises(ValidationError, match=r"needs at least \[150.0, 190.0, 150.0\] mm"):
        VoxelGrid(shape=(40, 40, 40), spacing_mm=2.0)
