import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from consilium.errors import ConfigurationError, TrainingError
from consilium.secagg.ring import FixedPoint, integer_code, norm_factor, rounding_generator

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
BITS = st.sampled_from([16, 32])


def codes(most_terms=64):
    return st.builds(
        FixedPoint, bits=BITS, terms=st.integers(1, most_terms), bound=st.floats(1e-6, 1e6), room=st.just(0)
    )


@given(codes(), hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e7, 1e7, width=32)), st.floats(0, 1))
def test_a_value_comes_back_within_a_step_and_within_the_bound(code, values, weight):
    encoded, clipped = code.encode(values, generator=rounding_generator(), weight=weight)
    exact = np.asarray(values, np.float64)
    wanted = np.clip(exact, -code.bound, code.bound) * weight
    assert encoded.dtype == code.dtype
    assert encoded.shape == values.shape
    assert np.all(np.abs(code.decode(encoded) - wanted) <= code.step * (1 + 1e-9))
    assert clipped == np.count_nonzero(np.abs(exact) > code.bound)


@given(BITS, st.integers(1, 64), st.floats(1e-3, 1e3), st.integers(0, 400), st.sampled_from([-1.0, 1.0]))
def test_a_sum_of_as_many_largest_values_as_there_may_be_never_wraps(bits, terms, bound, room, sign):
    try:
        code = FixedPoint(bits=bits, terms=terms, bound=bound, room=room)
    except ConfigurationError:
        return
    extreme, _ = code.encode(np.array([sign * 1e30]), generator=rounding_generator())
    total = np.zeros(1, code.dtype)
    for _ in range(terms):
        total += extreme
    total += np.array([int(sign) * room]).astype(code.dtype)  # the noise that has room as well
    expected = sign * (terms * bound + room * code.step)
    assert code.decode(total)[0] == pytest.approx(expected)


@given(codes(), st.data())
def test_the_sum_of_elements_is_the_sum_of_integers_exactly(code, data):
    sites = data.draw(st.integers(1, code.terms))
    values = data.draw(
        st.lists(hnp.arrays(np.float64, 7, elements=st.floats(-2e6, 2e6)), min_size=sites, max_size=sites)
    )
    encoded = [code.encode(one, generator=rounding_generator())[0] for one in values]
    total = np.zeros(7, code.dtype)
    for one in encoded:
        total += one
    multiples = sum(np.rint(code.decode(one) / code.step).astype(np.int64) for one in encoded)
    assert np.array_equal(np.rint(code.decode(total) / code.step).astype(np.int64), multiples)


@pytest.mark.parametrize("bits", [16, 32])
def test_rounding_has_no_bias(bits):
    code = FixedPoint(bits=bits, terms=64, bound=1.0)
    draws = 200_000
    for fraction in (0.1, 0.5, 0.9):
        value = -(3 + fraction) * code.step
        encoded, _ = code.encode(np.full(draws, value), generator=np.random.Generator(np.random.PCG64(1)))
        mean = code.decode(encoded).mean()
        spread = code.step * math.sqrt(fraction * (1 - fraction) / draws)
        assert abs(mean - value) < 5 * spread


def test_the_small_ring_holds_ten_bits_of_64_sites():
    code = FixedPoint(bits=16, terms=64, bound=0.511)
    assert code.levels == 511
    assert code.step == pytest.approx(0.001)
    assert FixedPoint(bits=16, terms=1000, bound=1.0).levels == 32


def test_a_ring_without_room_is_refused():
    with pytest.raises(ConfigurationError, match="no room for 40000 values"):
        FixedPoint(bits=16, terms=40_000, bound=1.0)
    with pytest.raises(ConfigurationError, match="no room for 2 values and a noise of 32767"):
        FixedPoint(bits=16, terms=2, bound=1.0, room=32_767)


@pytest.mark.parametrize(
    ("terms", "bound", "room"), [(0, 1.0, 0), (1, 0.0, 0), (1, math.inf, 0), (1, math.nan, 0), (1, 1.0, -1)]
)
def test_a_ring_of_nothing_is_refused(terms, bound, room):
    with pytest.raises(ConfigurationError, match="a positive finite bound"):
        FixedPoint(bits=32, terms=terms, bound=bound, room=room)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_encoded(value):
    values = np.zeros(100_000)
    values[-1] = value
    with pytest.raises(TrainingError, match="not finite"):
        FixedPoint(bits=32, terms=3, bound=1.0).encode(values, generator=rounding_generator())


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_weight_that_would_leave_the_room_is_refused(weight):
    with pytest.raises(TrainingError, match="weight in a sum"):
        FixedPoint(bits=32, terms=3, bound=1.0).encode(
            np.zeros(1), generator=rounding_generator(), weight=weight
        )


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=64))
def test_counts_are_exact(counts):
    code = integer_code(64)
    total = np.zeros((), code.dtype)
    for count in counts:
        total = total + code.encode(np.array(float(count)), generator=rounding_generator())[0]
    assert code.decode(total) == sum(counts)


@given(
    st.lists(hnp.arrays(np.float64, 4, elements=st.floats(-1e30, 1e30)), min_size=1),
    st.floats(1e-3, 1e3),
)
def test_an_update_is_clipped_to_the_norm(tensors, most):
    factor = norm_factor(tensors, most)
    norm = math.sqrt(sum(float(np.sum(np.square(one, dtype=np.float64))) for one in tensors))
    assert norm * factor <= most * (1 + 1e-9)
    assert factor == 1.0 or norm > most


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_norm_is_measured_of_what_is_not_finite(value):
    with pytest.raises(TrainingError, match="not finite"):
        norm_factor([np.array([value])], 1.0)
