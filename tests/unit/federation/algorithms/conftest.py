import numpy as np
import pytest
from learning.tiny import cached_case


@pytest.fixture
def sites(tmp_path):
    """Two hospitals, of one patient and of two, whose images have different scales."""
    random = np.random.default_rng(0)
    cases = {}
    for name, scale, patients in (("north", 1.0, 1), ("south", 3.0, 2)):
        cases[name] = []
        for patient in range(patients):
            label = random.integers(0, 4, (20, 20, 20))
            image = scale * np.eye(4)[label].transpose(3, 0, 1, 2)
            cases[name].append(cached_case(tmp_path / name, label, image, name=f"P{patient}"))
    return cases
