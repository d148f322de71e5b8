from collections.abc import Sequence

import numpy as np
import pytest
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic.gliosis import grow_gliosis
from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor

Diseased = Sequence[tuple[Head, np.ndarray]]


@pytest.fixture(scope="module")
def diseased(grown: Sequence[tuple[Head, Tumor]]) -> Diseased:
    """Thirty patients of six heads, with their gliosis."""
    return [
        (head, grow_gliosis(head, np.random.default_rng([number, seed])))
        for number, (head, _) in enumerate(grown)
        for seed in range(5)
    ]


def _beside_ventricles(head: Head) -> np.ndarray:
    """White matter within 4 mm of the bodies of the lateral ventricles, and out of the caps."""
    x, y, z = np.abs(head.position_mm[0]), head.position_mm[1], head.position_mm[2]
    body = (head.csf > 0.5) & (x > 3) & (x < 25) & (y > -30) & (y < 15) & (z > 8) & (z < 30)
    near = ndimage.binary_dilation(body, iterations=round(4 / head.spacing_mm))
    return near & (head.white > 0.7)


def test_gliosis_is_a_share_of_tissue(diseased: Diseased) -> None:
    for head, gliosis in diseased:
        assert 0 <= gliosis.min() <= gliosis.max() <= 1
        assert not gliosis[~head.brain].any()
        assert not gliosis[head.csf > 0.95].max(initial=0) > 0.1


def test_ventricles_have_a_rim(diseased: Diseased) -> None:
    for head, gliosis in diseased:
        elsewhere = (head.white > 0.7) & (np.abs(head.position_mm[0]) > 45)
        assert gliosis[_beside_ventricles(head)].mean() > 2 * gliosis[elsewhere].mean()
        assert gliosis[_beside_ventricles(head)].mean() > 0.02


@pytest.mark.parametrize("seat", [(18, 36, 4), (27, -58, 16)], ids=["frontal horns", "trigones"])
def test_ventricles_have_caps(diseased: Diseased, seat: tuple[int, int, int]) -> None:
    shares = []
    for head, gliosis in diseased:
        x, y, z = np.abs(head.position_mm[0]), head.position_mm[1], head.position_mm[2]
        cap = (np.abs(x - seat[0]) < 5) & (np.abs(y - seat[1]) < 4) & (np.abs(z - seat[2]) < 6)
        shares.append(gliosis[cap & (head.white > 0.7)].mean())
    assert np.mean(shares) > 0.1, "0.02 is the rim's"


def _lesions(head: Head, gliosis: np.ndarray) -> list[float]:
    """Volumes in mL of spots far from the ventricles and their caps."""
    away = (np.abs(head.position_mm[0]) > 40) | (head.position_mm[2] > 38)
    parts, _ = ndimage.label((gliosis > 0.4) & away)
    return (np.bincount(parts.ravel())[1:] * head.spacing_mm**3 / 1000).tolist()


def test_some_have_no_lesions_and_others_many(diseased: Diseased) -> None:
    counts = [len(_lesions(head, gliosis)) for head, gliosis in diseased]
    assert min(counts) == 0, counts
    assert max(counts) >= 5, counts


def test_lesions_are_of_different_sizes_and_smaller_than_tumors(diseased: Diseased) -> None:
    volumes = [ml for head, gliosis in diseased for ml in _lesions(head, gliosis)]
    assert 0.3 < max(volumes) < 6
    assert max(volumes) > 5 * np.median(volumes)
