import numpy as np
import pytest

from consilium.learning.bootstrap import interval_of_mean
from consilium.learning.patient_summary import summarize_patients
from consilium.tasks.histograms import MetricBins, enclose_mean

BINS = {"dice": MetricBins.in_steps((0.01, 1.0)), "volume": MetricBins.in_steps((1.0, 100.0))}


def rows(number, seed=0):
    random = np.random.default_rng(seed)
    return [{"dice": float(random.uniform()), "volume": float(random.uniform(0, 90))} for _ in range(number)]


def test_mean_interval_and_histogram_are_of_the_same_patients():
    scores = rows(40)
    summary = summarize_patients(scores, [str(one) for one in range(40)], BINS, minimum=5)
    for name in BINS:
        values = np.array([one[name] for one in scores])
        assert summary[name].mean == pytest.approx(values.mean())
        assert summary[name].histogram.total == 40
        assert all(count == 0 or count >= 5 for count in summary[name].histogram.counts)
        bounds = enclose_mean([summary[name].histogram])
        assert bounds.low <= values.mean() <= bounds.high
        low, high = interval_of_mean(values[:, None], [str(one) for one in range(40)])
        assert summary[name].interval == pytest.approx((low[0], high[0]))


def test_a_patient_counts_once():
    one, *others = rows(10)
    alone = summarize_patients([one, *others], list("abcdefghij"), BINS, minimum=5)
    often = summarize_patients([one] * 7 + others, [*"aaaaaaa", *"bcdefghij"], BINS, minimum=5)
    assert alone["dice"].mean == pytest.approx(often["dice"].mean)
    assert alone["dice"].histogram == often["dice"].histogram


def test_fewer_patients_than_the_minimum_say_nothing():
    assert summarize_patients(rows(8), list("aaaabbcc"), BINS, minimum=4) == {}
    assert summarize_patients([], [], BINS, minimum=1) == {}


def test_of_four_patients_there_is_a_mean_and_no_interval():
    found = summarize_patients(rows(4), list("abcd"), BINS, minimum=4)["dice"]
    assert found.interval is None
    assert found.histogram.total == 4
