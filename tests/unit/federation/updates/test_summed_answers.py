"""Scores of all sites from the sums that the server opened."""

import pytest

from consilium.federation.updates.summed_answers import SummedAnswers, read_sum
from consilium.records.summed_reports import SummedReports
from consilium.secagg.summed_numbers import SummedNumber
from consilium.tasks import get_task

EVALUATION = get_task("brain_tumor").evaluation
MEASURED = [one.name for one in EVALUATION.metrics.in_round(final=False) if one.is_measured]


def summed(total, sites, **changes):
    scores = {name: SummedNumber(total, sites) for name in MEASURED} | changes
    return SummedAnswers(SummedReports(sites=4, cases=9, clipped=0), scores)


def test_scores_are_means_over_the_sites_that_have_some():
    scores = read_sum(summed(1.5, 3), EVALUATION)
    assert scores.keys() >= {*MEASURED, EVALUATION.metrics.key}
    assert set(scores.values()) == {0.5}


def test_without_a_site_that_has_scores_there_are_none():
    assert read_sum(summed(0.0, 0), EVALUATION) == {}


def test_rounding_beyond_the_range_is_no_fault():
    assert set(read_sum(summed(3 + 1e-6, 3), EVALUATION).values()) == {1.0}


@pytest.mark.parametrize(("total", "sites"), [(3.1, 3), (-0.2, 3)])
def test_scores_that_sites_can_not_have_are_rejected(total, sites):
    with pytest.raises(ValueError, match="it lies between 0 and 1"):
        read_sum(summed(total, sites), EVALUATION)


def test_scores_of_different_sites_are_rejected():
    with pytest.raises(ValueError, match="different numbers of sites"):
        read_sum(summed(1.5, 3, **{MEASURED[0]: SummedNumber(1.0, 2)}), EVALUATION)
