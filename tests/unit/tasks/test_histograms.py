import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.tasks.histograms import Histogram, MetricBins, enclose_mean
from consilium.tasks.segmentation.measurement.definitions import case_metrics

QUICK = settings(max_examples=examples(150))
BINS = [metric.bins for metric in case_metrics(374)]


@st.composite
def sites(draw):
    """Bins of a metric, and the values of each site's patients, in their range."""
    bins = draw(st.sampled_from(BINS))
    some = st.sampled_from([*bins.edges, 0.0, 1.0, 374.0])
    value = (some | st.floats(bins.edges[0], bins.edges[-1])).filter(
        lambda one: bins.edges[0] <= one <= bins.edges[-1]
    )
    return bins, draw(st.lists(st.lists(value, min_size=1, max_size=40), min_size=1, max_size=4))


@QUICK
@given(drawn=sites(), minimum=st.integers(1, 8))
def test_a_mean_lies_in_its_bounds(drawn, minimum):
    bins, values = drawn
    histograms = [bins.count(own).coarsen(min(minimum, len(own))) for own in values]
    pooled = np.concatenate(values)
    mean = enclose_mean(histograms)
    assert mean.low - 1e-9 <= pooled.mean() <= mean.high + 1e-9
    assert abs(pooled.mean() - mean.middle) <= mean.error + 1e-9


@QUICK
@given(drawn=sites(), minimum=st.integers(2, 10))
def test_a_coarser_histogram_counts_the_same_patients_and_never_a_few(drawn, minimum):
    bins, values = drawn
    for own in values:
        histogram = bins.count(own)
        coarse = histogram.coarsen(minimum)
        assert set(coarse.edges) <= set(bins.edges)
        assert all(count == 0 or count >= minimum for count in coarse.counts)
        assert coarse.total == (histogram.total if histogram.total >= minimum else 0)


@QUICK
@given(drawn=sites(), minimums=st.tuples(st.integers(1, 8), st.integers(1, 8)))
def test_a_larger_minimum_only_joins_what_a_smaller_one_left(drawn, minimums):
    bins, (values, *_) = drawn
    fine, coarse = (bins.count(values).coarsen(one) for one in sorted(minimums))
    if coarse.total:
        assert set(coarse.edges) <= set(fine.edges)


def test_the_error_of_a_mean_is_half_of_a_bin_of_one_hundredth():
    bins = MetricBins.in_steps((0.01, 1.0))
    values = np.random.default_rng(0).uniform(0, 1, 500)
    found = enclose_mean([bins.count(values)])
    assert found.error == pytest.approx(0.005)
    assert abs(found.middle - values.mean()) < 0.001


def test_an_edge_does_not_say_how_near_a_value_is():
    """Bins that grew until five are in them would end just beyond the fifth value."""
    bins = MetricBins.in_steps((0.01, 1.0))
    first = bins.count([0.505, 0.515, 0.525, 0.535, 0.585, 0.9, 0.91, 0.92, 0.93, 0.94])
    other = bins.count([0.505, 0.515, 0.525, 0.535, 0.615, 0.9, 0.91, 0.92, 0.93, 0.94])
    assert first.coarsen(5) == other.coarsen(5)


def test_values_on_edges_and_beyond():
    bins = MetricBins((0.0, 1.0, 2.0))
    assert bins.count([0.0, 1.0, 2.0, 5.0, -1.0]).counts == (2, 3)
    with pytest.raises(ValueError, match="not a number"):
        bins.count([0.5, float("nan")])


def test_edges_ascend_and_each_bin_has_a_count():
    with pytest.raises(ValueError, match="ascend"):
        MetricBins((0.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="number of edges 3"):
        Histogram((0.0, 1.0, 2.0), (1,))
    with pytest.raises(ValueError, match="no values"):
        enclose_mean([Histogram((0.0, 1.0), (0,))])


def test_bins_below_zero_mirror_those_above():
    assert MetricBins((0.0, 1.0, 3.0)).mirrored().edges == (-3.0, -1.0, 0.0, 1.0, 3.0)
