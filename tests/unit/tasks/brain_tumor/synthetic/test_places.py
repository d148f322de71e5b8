import numpy as np

from consilium.tasks.brain_tumor.synthetic.places import Place, both_sides


def _at(*points: tuple[float, float, float]) -> np.ndarray:
    """Positions as a field `(3, N, 1, 1)`."""
    return np.array(points, np.float32).T[:, :, None, None]


def test_a_place_is_on_both_sides_and_nowhere_else() -> None:
    place = Place((20.0, 10.0, 0.0), (6.0, 6.0, 12.0))
    right, left, above, beside, middle = place.share(
        _at((20, 10, 0), (-20, 10, 0), (20, 10, 8), (20, 18, 0), (0, 10, 0))
    ).ravel()
    assert right == left == 1
    assert above > 0.8, "within its long half axis"
    assert max(beside, middle) < 0.1


def test_sides_get_their_own_values() -> None:
    assert both_sides(_at((20, 0, 0), (-20, 0, 0)), 0.25, 0.5).ravel().tolist() == [0.25, 0.5]
