import numpy as np
import pytest
from report.grading import GRADING, cell

from consilium.learning.bootstrap import interval_of_mean
from consilium.learning.evaluation_summary import QUANTILES, summarize_evaluation
from consilium.tasks import get_task

TUMORS = get_task("brain_tumor").evaluation


def rows(values):
    return [dict.fromkeys((one.name for one in TUMORS.measures), value) for value in values]


def graded(*answers):
    return [{cell(*answer): 1.0} for answer in answers]


def test_numbers_are_over_patients_and_each_counts_once():
    summary = summarize_evaluation(TUMORS, rows([0.1, 0.5, 0.6, 0.7, 0.8, 0.9]), list("aabcde"))
    values = np.array([0.3, 0.6, 0.7, 0.8, 0.9])
    assert (summary.patients, summary.cases) == (5, 6)
    assert set(summary.measures) == {one.name for one in TUMORS.measures}
    dice = summary.measures["dice_wt"]
    assert dice.mean == pytest.approx(values.mean())
    assert dice.quantiles == pytest.approx(np.quantile(values, QUANTILES))
    low, high = interval_of_mean(values[:, None], list("abcde"))
    assert dice.interval == pytest.approx((low[0], high[0]))
    assert (dice.low, dice.high) == pytest.approx((0.3, 0.9))


def test_few_patients_have_no_interval():
    summary = summarize_evaluation(TUMORS, rows([0.1, 0.5, 0.6, 0.7, 0.8]), list("aabcd"))
    assert all(one.interval is None for one in summary.measures.values())


def test_without_cases_there_are_no_numbers():
    summary = summarize_evaluation(TUMORS, [], [])
    assert (summary.patients, summary.measures, summary.counts) == (0, {}, {})


def test_what_follows_from_counts_is_of_all_cases():
    answers = [(0, 0), (1, 1), (2, 2), (2, 1), (0, 0), (1, 0)]
    summary = summarize_evaluation(GRADING, graded(*answers), list("abcdef"))
    accuracy = summary.measures["accuracy"]
    assert accuracy.mean == pytest.approx(4 / 6)
    assert accuracy.interval[0] < accuracy.mean < accuracy.interval[1]
    assert accuracy.quantiles == ()
    assert list(summary.measures) == ["kappa", "accuracy"]
    assert summary.counts == {cell(0, 0): 2, cell(1, 0): 1, cell(1, 1): 1, cell(2, 1): 1, cell(2, 2): 1}
