import numpy as np
import pytest

from .tiny import cached_case


@pytest.fixture
def cases(tmp_path):
    random = np.random.default_rng(0)
    labels = [random.integers(0, 4, (20, 20, 20)) for _ in range(3)]
    return [
        cached_case(tmp_path, label, np.eye(4)[label].transpose(3, 0, 1, 2), name=f"P{index}")
        for index, label in enumerate(labels)
    ]
