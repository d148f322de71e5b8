import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from consilium.report.statistics.distances import site_distances, wasserstein

from .records import record


def distances(feature, minimum=1):
    return site_distances(feature, dict.fromkeys(feature.sites, minimum))


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
    found = distances(volumes(north=[22.5] * 4, south=[42.5] * 2, west=[62.5] * 2))
    assert found["north"].value == pytest.approx((20 + 40) / 2)
    assert found["north"].direction == pytest.approx(-30)
    assert found["west"].value == pytest.approx((4 * 40 + 2 * 20) / 6)
    assert found["west"].direction == pytest.approx(+200 / 6)


def test_the_same_patients_are_no_distance_apart():
    found = distances(volumes(north=[22.5, 42.5], south=[22.5, 42.5, 22.5, 42.5]))
    assert all(one.value == 0 and not one.beyond_chance for one in found.values())


def test_a_difference_that_chance_makes_often_is_not_beyond_it():
    random = np.random.default_rng(0)
    sites = {name: random.uniform(5, 150, 12) for name in ("north", "south", "west")}
    assert not any(one.beyond_chance for one in distances(volumes(**sites)).values())


def test_a_difference_that_chance_hardly_makes_is_beyond_it():
    random = np.random.default_rng(0)
    sites = {name: random.uniform(5, 100, 12) for name in ("north", "south", "west")}
    found = distances(volumes(**sites, clinic=random.uniform(120, 200, 12)))
    assert [name for name, one in found.items() if one.beyond_chance][:1] == ["clinic"]


def test_one_site_alone_has_no_distance():
    assert distances(volumes(north=[22.5] * 4)) == {}


def test_a_site_that_sent_nothing_is_left_out():
    feature = volumes(north=[22.5] * 4, south=[42.5] * 2, west=[])
    assert distances(feature).keys() == {"north", "south"}


def test_groups_of_patients_are_draws_of_groups():
    """Whole groups of five at two places: as patients hardly chance, as two and three groups ordinary."""
    feature = volumes(north=[22.5] * 5 + [62.5] * 5, south=[22.5] * 15, west=[22.5] * 10 + [62.5] * 5)
    assert distances(feature, 1)["south"].beyond_chance
    assert not any(one.beyond_chance for one in distances(feature, 5).values())
