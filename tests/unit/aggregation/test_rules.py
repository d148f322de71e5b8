import math

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from consilium.aggregation.rules import (
    AggregationRule,
    AggregationSettings,
    euclidean_norm,
    trimmed_mean,
)
from consilium.errors import ConfigurationError

updates = st.lists(
    st.tuples(
        arrays(np.float32, (3, 2), elements=st.floats(-100, 100, width=32)),
        st.integers(1, 1000),
    ),
    min_size=1,
    max_size=9,
)


def combine(sent, **settings):
    values = {f"site-{index}": value for index, (value, _) in enumerate(sent)}
    rule = AggregationRule(
        AggregationSettings(**settings),
        cases={f"site-{index}": cases for index, (_, cases) in enumerate(sent)},
        norms={site: euclidean_norm([value]) for site, value in values.items()},
    )
    result = rule.combine(
        sent[0][0].shape, lambda site, rows: values[site] if rows is None else values[site][rows]
    )
    return result, rule.shares


@given(updates)
@settings(max_examples=examples(50))
def test_the_mean_is_numpy_s_weighted_one(sent):
    result, shares = combine(sent, max_site_share=1)
    cases = [weight for _, weight in sent]
    np.testing.assert_allclose(
        result, np.average([value for value, _ in sent], axis=0, weights=cases), rtol=1e-5, atol=1e-5
    )
    assert list(shares.values()) == pytest.approx([one / sum(cases) for one in cases])
    assert result.dtype == np.float32


@given(updates)
@settings(max_examples=examples(50))
def test_the_median_is_numpy_s_and_counts_every_site_once(sent):
    result, shares = combine(sent, rule="median")
    np.testing.assert_array_equal(result, np.median([value for value, _ in sent], axis=0))
    assert set(shares.values()) == {1 / len(sent)}


@given(updates, st.floats(0.01, 0.49))
@settings(max_examples=examples(50))
def test_the_trimmed_mean_is_that_of_the_sorted_values_without_both_ends(sent, share):
    result, shares = combine(sent, rule="trimmed_mean", trim_share=share)
    cut = min(math.ceil(share * len(sent)), (len(sent) - 1) // 2)
    ordered = np.sort([value for value, _ in sent], axis=0)[cut : len(sent) - cut]
    np.testing.assert_allclose(result, ordered.mean(axis=0, dtype=np.float64), rtol=1e-5, atol=1e-5)
    assert sum(shares.values()) == pytest.approx(1)


@given(updates, st.floats(0.1, 3))
@settings(max_examples=examples(50))
def test_the_clipped_mean_scales_long_updates_down_to_the_median_of_the_norms(sent, ratio):
    norms = [np.linalg.norm(value.astype(np.float64)) for value, _ in sent]
    limit = ratio * np.median(norms)
    clipped = [
        value * (min(1.0, limit / norm) if norm else 1.0)
        for (value, _), norm in zip(sent, norms, strict=True)
    ]
    expected = np.average(clipped, axis=0, weights=[cases for _, cases in sent])
    result, _ = combine(sent, rule="clipped_mean", clip_ratio=ratio, max_site_share=1)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@given(
    updates.filter(lambda sent: len(sent) >= 3), st.floats(-1e6, 1e6, width=32), st.sampled_from([0, 1, 2])
)
@settings(max_examples=examples(50))
def test_one_bad_site_of_three_or_more_can_t_leave_the_range_of_the_others(sent, value, place):
    good = np.array([update for update, _ in sent])
    sent[place] = (np.full((3, 2), value, np.float32), 10**6)
    others = np.delete(good, place, axis=0)
    for rule in ("median", "trimmed_mean"):
        result, _ = combine(sent, rule=rule)
        assert (result >= others.min(axis=0) - 1e-4).all()
        assert (result <= others.max(axis=0) + 1e-4).all()


@pytest.mark.parametrize(("sites", "left"), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 3), (10, 6), (11, 5)])
def test_a_fifth_of_the_sites_goes_at_each_end_and_at_least_one(sites, left):
    values = np.zeros((sites, 1))
    values[-1] = 1.0
    values[: -1 if sites > 1 else 0] = np.arange(sites - 1).reshape(-1, 1) / sites
    ordered = np.sort(values, axis=0)
    cut = (sites - left) // 2
    assert trimmed_mean(values, 0.2) == pytest.approx(ordered[cut : sites - cut].mean(axis=0))


@pytest.mark.parametrize("shape", [(), (0,), (7,), (5, 3, 2)])
@pytest.mark.parametrize("values", [1, 20, 10**6])
def test_a_tensor_is_combined_in_blocks_of_rows_as_it_is_as_a_whole(monkeypatch, shape, values):
    monkeypatch.setattr("consilium.aggregation.rules._BLOCK_VALUES", values)
    random = np.random.default_rng(0)
    sent = [(np.asarray(random.standard_normal(shape)), 1) for _site in range(4)]
    result, _ = combine(sent, rule="median")
    np.testing.assert_array_equal(result, np.median([value for value, _ in sent], axis=0))
    assert result.shape == shape


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed_mean", "clipped_mean"])
def test_counters_stay_whole_numbers(rule):
    result, _ = combine([(np.array([2]), 1), (np.array([3]), 1), (np.array([3]), 1)], rule=rule)
    assert result.dtype.kind == "i"
    assert result[0] in (2, 3)


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        (
            {"rule": "mean", "trim_share": 0.1},
            "trim_share is a setting of rule 'trimmed_mean', and the rule is",
        ),
        ({"rule": "median", "clip_ratio": 1.0}, "clip_ratio is a setting of rule 'clipped_mean'"),
        ({"rule": "trimmed_mean", "trim_share": 0.5}, "less than 0.5"),
        ({"rule": "krum"}, "'mean', 'median', 'trimmed_mean' or 'clipped_mean'"),
        ({"rle": "mean"}, "did you mean 'rule'"),
    ],
)
def test_settings_are_checked_as_a_whole(settings, reported):
    with pytest.raises(ConfigurationError, match=reported):
        AggregationSettings.parse(settings, source="the job's aggregation")
