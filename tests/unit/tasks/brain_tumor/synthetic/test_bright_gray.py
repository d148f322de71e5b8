from collections.abc import Sequence

import numpy as np
import pytest

from consilium.tasks.brain_tumor.synthetic.bright_gray import brighten_gray
from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor


@pytest.mark.long
def test_limbic_cortex_is_brighter_than_the_rest_in_most_patients(
    grown: Sequence[tuple[Head, Tumor]],
) -> None:
    brighter = []
    for number, (head, _) in enumerate(grown):
        x, y, z = np.abs(head.position_mm[0]), head.position_mm[1], head.position_mm[2]
        limbic = (np.abs(x - 26) < 6) & (np.abs(y + 20) < 10) & (np.abs(z + 14) < 6) & (head.gray > 0.5)
        parietal = (z > 45) & (y < -20) & (head.gray > 0.5)
        for seed in range(3):
            bright = brighten_gray(head, np.random.default_rng([number, seed]))
            assert 0 <= bright.min() <= bright.max() <= 1
            brighter.append(bright[limbic].mean() - bright[parietal].mean())
    assert np.mean(np.array(brighter) > 0.05) > 0.7, brighter
    assert np.std(brighter) > 0.05, "patients differ"


@pytest.mark.long
def test_cortex_differs_from_place_to_place(grown: Sequence[tuple[Head, Tumor]]) -> None:
    for number, (head, _) in enumerate(grown):
        far = (head.position_mm[2] > 50) & (head.gray > 0.7)
        bright = brighten_gray(head, np.random.default_rng(number))
        assert np.quantile(bright[far], 0.95) > 0.05 + np.quantile(bright[far], 0.2)
