import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from consilium.report.statistics.distances import site_distances, wasserstein

from .records import record


def volumes(**values):
    sites = {site: len(own) for site, own in values.items()}
    return record(sites, {"volume_wt": values}).features["volume_wt"]


@given(
    st.integers(2, 30).flatmap(
        lambda bins: st.tuples(
            *(st.lists(st.integers(0, 50), min_size=bins, max_size=bins) for _ in range(2))
        )
    )
)
def test_it_is_scipys_wasserstein_distance(counts):
    first, second = (np.array(one, dtype=float) + 1e-3 for one in counts)
    centers = np.linspace(-3, 7, len(first))
    assert wasserstein(centers, first, second) == pytest.approx(
        wasserstein_distance(centers, centers, first, second), abs=1e-9
    )


def test_the_distance_is_how_far_patients_lie_from_all_others():
    distances = site_distances(volumes(north=[22.5] * 4, south=[42.5] * 2, west=[62.5] * 2))
    assert distances["north"].value == pytest.approx((20 + 40) / 2)
    assert distances["north"].direction == pytest.approx(-30)
    assert distances["west"].value == pytest.approx((4 * 40 + 2 * 20) / 6)
    assert distances["west"].direction == pytest.approx(+200 / 6)


def test_the_same_patients_are_no_distance_apart():
    distances = site_distances(volumes(north=[22.5, 42.5], south=[22.5, 42.5, 22.5, 42.5]))
    assert all(one.value == 0 and not one.beyond_chance for one in distances.values())


def test_a_difference_that_chance_makes_often_is_not_beyond_it():
    random = np.random.default_rng(0)
    sites = {name: random.uniform(5, 150, 12) for name in ("north", "south", "west")}
    assert not any(one.beyond_chance for one in site_distances(volumes(**sites)).values())


def test_a_difference_that_chance_hardly_makes_is_beyond_it():
    random = np.random.default_rng(0)
    sites = {name: random.uniform(5, 100, 12) for name in ("north", "south", "west")}
    distances = site_distances(volumes(**sites, clinic=random.uniform(120, 200, 12)))
    assert [name for name, one in distances.items() if one.beyond_chance][:1] == ["clinic"]


def test_one_site_alone_has_no_distance():
    assert site_distances(volumes(north=[22.5] * 4)) == {}


def test_a_site_that_told_nothing_is_left_out():
    feature = volumes(north=[22.5] * 4, south=[42.5] * 2, west=[])
    assert site_distances(feature).keys() == {"north", "south"}
