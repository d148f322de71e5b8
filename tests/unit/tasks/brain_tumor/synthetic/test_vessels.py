from collections.abc import Sequence

import numpy as np
import pytest
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor
from consilium.tasks.brain_tumor.synthetic.vessels import grow_vessels

Supplied = Sequence[tuple[Head, np.ndarray]]


@pytest.fixture(scope="module")
def supplied(grown: Sequence[tuple[Head, Tumor]]) -> Supplied:
    """Six heads with their vessels."""
    return [
        (head, grow_vessels(head, np.random.default_rng(number))) for number, (head, _) in enumerate(grown)
    ]


def _near(head: Head, seat: tuple[float, float, float], reach: float) -> np.ndarray:
    x, y, z = np.abs(head.position_mm[0]), head.position_mm[1], head.position_mm[2]
    return (np.abs(x - seat[0]) < reach) & (np.abs(y - seat[1]) < reach) & (np.abs(z - seat[2]) < reach)


def test_vessels_are_a_small_part_of_the_brain(supplied: Supplied) -> None:
    for head, vessel in supplied:
        assert 0 <= vessel.min() <= vessel.max() < 1
        assert not vessel[~head.brain].any()
        assert 0.001 < vessel[head.brain].mean() < 0.06


def test_choroid_plexus_enhances_in_every_head(supplied: Supplied) -> None:
    for head, vessel in supplied:
        assert vessel[_near(head, (22, -40, 9), 6) & (head.csf > 0.3)].max() > 0.15


def test_veins_enhance_in_sulci_and_arteries_at_the_base(supplied: Supplied) -> None:
    veins, arteries = [], []
    for head, vessel in supplied:
        depth = ndimage.distance_transform_edt(head.brain, sampling=head.spacing_mm)
        fluid = (head.csf > 0.5) & (depth > 8)
        sulci = fluid & (np.abs(head.side_mm) > 38) & (head.position_mm[2] > 15)
        base = fluid & (np.abs(head.side_mm) < 26) & (np.abs(head.position_mm[2] + 15) < 8)
        veins.append(vessel[sulci].max(initial=0))
        arteries.append(vessel[base & (np.abs(head.position_mm[1] - 2) < 5)].max(initial=0))
    assert np.median(veins) > 0.15, veins
    assert np.median(arteries) > 0.08, arteries


def test_dura_and_sinuses_enhance_at_the_surface_and_not_in_the_depth(supplied: Supplied) -> None:
    dura, depth = [], []
    for head, vessel in supplied:
        shell = head.brain & ~ndimage.binary_erosion(head.brain)
        dura.append((vessel[shell & (np.abs(head.side_mm) > 45) & (head.position_mm[2] > -5)] > 0.3).mean())
        depth.append(vessel[head.white > 0.9].mean())
        sinus = shell & (np.abs(head.side_mm) < 4) & (head.position_mm[2] > 50)
        assert vessel[sinus].max() > 0.15, "superior sagittal sinus"
    assert max(depth) < 0.01
    assert max(dura) > 0.05, dura
    assert max(dura) > 2 * min(dura), "some heads keep more dura than others"
