import numpy as np
import pytest

from consilium.tasks.brain_tumor.synthetic.noise import smooth_noise, spline_field, spline_knots

SHAPE = (50, 60, 40)


@pytest.mark.parametrize("width_mm", [2.0, 5.0, 12.0])
def test_noise_has_zero_mean_and_unit_deviation(width_mm: float) -> None:
    noise = smooth_noise(np.random.default_rng(0), SHAPE, width_mm=width_mm, spacing_mm=1.0)
    assert noise.mean() == pytest.approx(0, abs=0.15)
    assert noise.std() == pytest.approx(1, abs=0.12)


def test_wider_noise_changes_less_between_neighbors() -> None:
    narrow, wide = (
        smooth_noise(np.random.default_rng(0), SHAPE, width_mm=width, spacing_mm=1.0) for width in (3.0, 12.0)
    )
    assert np.abs(np.diff(wide, axis=0)).mean() < 0.4 * np.abs(np.diff(narrow, axis=0)).mean()


def test_splines_keep_a_linear_function() -> None:
    knot = 4.0
    axes = [(np.arange(spline_knots(size, knot)) - 1) * knot for size in SHAPE]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    field = spline_field((x + 2 * y - 3 * z).astype(np.float32), SHAPE, knot)
    x, y, z = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    np.testing.assert_allclose(field, x + 2 * y - 3 * z, atol=1e-3)
