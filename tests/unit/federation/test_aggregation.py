import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from consilium.federation.aggregation import RefusedUpdate, WeightedMean

REFERENCE = {"a": np.zeros(2), "b": np.zeros((1, 2))}


def update(first, second):
    return {"a": np.full(2, float(first)), "b": np.full((1, 2), float(second))}


def test_the_mean_is_weighted_by_training_cases():
    mean = WeightedMean(REFERENCE, 0)
    mean.add("north", update(1, 10), 1)
    mean.add("south", update(5, -2), 3)
    change, shares = mean.result()
    assert np.allclose(change["a"], (1 * 1 + 3 * 5) / 4)
    assert np.allclose(change["b"], (1 * 10 + 3 * -2) / 4)
    assert shares == {"north": 0.25, "south": 0.75}


def test_the_norm_is_over_all_weights():
    norm = WeightedMean(REFERENCE, 0).add("north", {"a": np.array([3, 0.0]), "b": np.array([[0, 4.0]])}, 1)
    assert norm == pytest.approx(5)


def changed(how):
    bad = update(7, 7)
    if how == "missing":
        del bad["b"]
    elif how == "unknown":
        bad["c"] = np.zeros(1)
    elif how == "renamed":
        bad["c"] = bad.pop("b")
    elif how == "shape":
        bad["b"] = np.zeros((2, 1))
    elif how in ("object", "int64", "complex128"):
        bad["b"] = bad["b"].astype(how)
    elif how == "list":
        bad["b"] = bad["b"].tolist()
    else:
        bad["b"][0, 1] = float(how)
    return bad


@pytest.mark.parametrize(
    ("bad", "weight", "told"),
    [
        (changed("nan"), 2, "b is not finite"),
        (changed("inf"), 2, "b is not finite"),
        (changed("missing"), 2, "1 weights are missing and 0 are unknown"),
        (changed("unknown"), 2, "0 weights are missing and 1 are unknown"),
        (changed("renamed"), 2, "1 weights are missing and 1 are unknown"),
        (changed("shape"), 2, r"b has shape \(2, 1\), not \(1, 2\)"),
        (changed("object"), 2, "b holds values of kind 'O', not 'f'"),
        (changed("int64"), 2, "b holds values of kind 'i'"),
        (changed("complex128"), 2, "b holds values of kind 'c'"),
        (changed("list"), 2, "b holds values of kind 'list'"),
        (update(7, 7), 0, "weight is 0"),
        (update(7, 7), -3, "weight is -3"),
        (update(7, 7), float("nan"), "weight is nan"),
        (update(7, 7), float("inf"), "weight is inf"),
    ],
)
def test_what_is_refused_leaves_no_trace(bad, weight, told):
    mean = WeightedMean(REFERENCE, 0)
    mean.add("north", update(1, 10), 1)
    with pytest.raises(RefusedUpdate, match=told):
        mean.add("evil", bad, weight)
    mean.add("south", update(5, -2), 3)
    change, shares = mean.result()
    assert np.allclose(change["a"], 4)
    assert np.allclose(change["b"], 1)
    assert shares == {"north": 0.25, "south": 0.75}


def test_a_refused_site_may_send_a_good_update_but_only_one():
    mean = WeightedMean(REFERENCE, 0)
    with pytest.raises(RefusedUpdate):
        mean.add("north", changed("nan"), 1)
    mean.add("north", update(1, 1), 1)
    with pytest.raises(RefusedUpdate, match="second update"):
        mean.add("north", update(100, 100), 1)
    assert np.allclose(mean.result()[0]["a"], 1)


def test_no_update_is_no_aggregate():
    with pytest.raises(RefusedUpdate, match="no site sent an update"):
        WeightedMean(REFERENCE, 0).result()


def test_a_sum_that_overflows_is_refused():
    mean = WeightedMean({"a": np.zeros(1, np.float32)}, 0)
    with np.errstate(over="ignore"):
        for site in ("north", "south"):
            mean.add(site, {"a": np.array([3e38], np.float32)}, 100)
        with pytest.raises(RefusedUpdate, match="not finite"):
            mean.result()


contributions = st.lists(
    st.tuples(
        arrays(np.float32, (3, 2), elements=st.floats(-100, 100, width=32)),
        st.integers(1, 1000),
    ),
    min_size=1,
    max_size=6,
)


@given(contributions, st.randoms())
@settings(max_examples=50, deadline=None)
def test_it_is_numpy_s_weighted_mean_whatever_the_order(sent, random):
    expected = np.average([value for value, _ in sent], axis=0, weights=[weight for _, weight in sent])
    order = random.sample(range(len(sent)), len(sent))
    for sites in (range(len(sent)), order):
        mean = WeightedMean({"w": np.zeros((3, 2), np.float32)}, 0)
        for site in sites:
            mean.add(f"site-{site}", {"w": sent[site][0]}, sent[site][1])
        change, shares = mean.result()
        np.testing.assert_allclose(change["w"], expected, rtol=1e-4, atol=1e-3)
        assert sum(shares.values()) == pytest.approx(1)
