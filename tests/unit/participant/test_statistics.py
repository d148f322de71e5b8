import numpy as np
import pytest
from data.hospital import Hospital
from hypothesis import given
from hypothesis import strategies as st
from learning.tiny import folders
from learning.tiny import site as site_of

from consilium.errors import SiteRefusal
from consilium.participant.site_settings import SiteSettings
from consilium.participant.statistics import SiteStatistics, gather_statistics, micro_aggregate
from consilium.tasks import get_task
from consilium.tasks.case_statistics import CaseStatistics
from consilium.tasks.segmentation.features import STANDARDIZED

TASK = get_task("brain_tumor")
FEATURES = {feature.name: feature for feature in TASK.statistics.features()}


def case(*, edema_ml=20.0, enhancing_ml=6.0, first_bin=0.0, spacing=1.0, scale=100.0, labeled=True):
    """A case whose intensities lie in the first two bins."""
    shares = (first_bin, 1 - first_bin) + (0.0,) * (STANDARDIZED.number - 2)
    values = {f"intensity_{name}": shares for name in TASK.inputs}
    values |= {f"scale_{name}": float(np.log10(scale)) for name in TASK.inputs}
    values |= {"spacing_x": spacing, "spacing_y": 1.0, "spacing_z": 1.0}
    values |= {"extent_x": 140.0, "extent_y": 170.0, "extent_z": 150.0}
    if labeled:
        volumes = {"wt": edema_ml + enhancing_ml, "tc": enhancing_ml, "et": enhancing_ml}
        values |= {f"volume_{name}": volume for name, volume in volumes.items()}
        values |= {f"absence_{name}": float(volume == 0) for name, volume in volumes.items()}
    return CaseStatistics(values=values)


def site(*cases, minimum=1):
    """A site at which each case is another patient's."""
    return SiteStatistics(TASK, [(str(place), one) for place, one in enumerate(cases)], minimum=minimum)


def filled(statistics, feature):
    """The bins that hold anyone, by their centers."""
    rows = zip(FEATURES[feature].centers, statistics.histogram(feature), strict=True)
    return {round(float(center), 3): count for center, count in rows if count}


def test_every_patient_falls_into_its_bin():
    statistics = site(case(edema_ml=20), case(edema_ml=21), case(edema_ml=60, spacing=0.5))
    assert filled(statistics, "volume_wt") == {27.5: 2, 67.5: 1}  # edema and enhancing tumor
    assert filled(statistics, "volume_et") == {7.5: 3}
    assert filled(statistics, "spacing_x") == {1.0: 2, 0.5: 1}
    assert filled(statistics, "extent_y") == {170: 3}
    assert filled(statistics, "scale_t2") == {2.05: 3}
    assert statistics.count("volume_wt") == 3


def test_a_region_is_the_sum_of_its_tissues_and_its_absence_is_counted():
    statistics = site(case(enhancing_ml=0), case(), case())
    assert filled(statistics, "absence_et") == {0: 2, 1: 1}
    assert filled(statistics, "absence_wt") == {0: 3}


def test_intensities_are_sums_of_shares():
    statistics = site(case(first_bin=0.25), case(first_bin=0.75), case(first_bin=0.5))
    assert statistics.histogram("intensity_t1")[:3] == [1.5, 1.5, 0]


def test_values_beyond_the_range_are_in_its_end():
    assert filled(site(case(edema_ml=5000)), "volume_wt") == {297.5: 1}
    assert filled(site(case(scale=0.0)), "scale_t1") == {0.05: 1}


def test_a_patient_with_two_examinations_counts_once_with_their_mean():
    statistics = SiteStatistics(
        TASK, [("ann", case(edema_ml=10)), ("ann", case(edema_ml=30)), ("bob", case(edema_ml=60))]
    )
    assert (statistics.patients, statistics.cases) == (2, 3)
    assert statistics.count("volume_wt") == 2
    assert filled(statistics, "volume_wt") == {27.5: 1, 67.5: 1}


def test_unlabeled_cases_have_images_and_no_tumor():
    statistics = site(case(), case(labeled=False))
    assert (statistics.count("intensity_t1"), statistics.count("volume_wt")) == (2, 1)


@pytest.mark.parametrize("feature", FEATURES)
def test_nothing_is_sent_about_fewer_patients_than_the_minimum(feature):
    statistics = site(case(), case(), minimum=3)
    assert statistics.count(feature) == 0
    assert not any(statistics.histogram(feature))
    assert len(statistics.histogram(feature)) == FEATURES[feature].bins


def test_no_bin_of_a_volume_holds_fewer_patients_than_the_minimum():
    statistics = site(*(case(edema_ml=10 * place) for place in range(8)), minimum=3)
    # Groups of 3, 3 and 2 that join the second: means of 10 and 50 mL, 6 mL of enhancing tumor each.
    assert filled(statistics, "volume_wt") == {17.5: 3, 57.5: 5}


@pytest.mark.parametrize("without", [1, 2, 7, 8])
def test_a_share_of_fewer_patients_than_the_minimum_is_not_sent(without):
    cases = [case(enhancing_ml=0.0 if place < without else 5.0) for place in range(9)]
    assert filled(site(*cases, minimum=3), "absence_et") == {}


@pytest.mark.parametrize(("without", "reported"), [(0, {0: 9}), (3, {0: 6, 1: 3}), (9, {1: 9})])
def test_a_share_of_enough_patients_is_sent(without, reported):
    cases = [case(enhancing_ml=0.0 if place < without else 5.0) for place in range(9)]
    assert filled(site(*cases, minimum=3), "absence_et") == reported


@given(
    st.lists(st.floats(0, 1e4), min_size=1, max_size=40).flatmap(
        lambda values: st.tuples(st.just(values), st.integers(1, len(values)))
    )
)
def test_groups_keep_the_sum_and_hold_the_minimum(drawn):
    values, minimum = drawn
    means = micro_aggregate(np.array(values), minimum)
    assert means.sum() == pytest.approx(sum(values))
    assert len(means) == len(values)
    assert np.unique(means, return_counts=True)[1].min() >= minimum


def group_ends(means):
    """Where groups of ascending different values end."""
    return set(np.flatnonzero(np.diff(means)) + 1) | {len(means)}


@given(st.integers(15, 80), st.integers(1, 6), st.integers(1, 15))
def test_groups_of_a_job_are_whole_groups_of_the_site(patients, own, job):
    """Sums of groups of 5 and of 6 would differ by one patient's value."""
    values = np.arange(patients) ** 2.0
    joined = micro_aggregate(values, own, job)
    assert group_ends(joined) <= group_ends(micro_aggregate(values, own))
    assert np.unique(joined, return_counts=True)[1].min() >= max(own, job)
    assert joined.sum() == pytest.approx(values.sum())


@pytest.mark.parametrize("job", range(5, 16))
def test_jobs_with_other_minimums_take_no_group_apart(job):
    cases = [case(edema_ml=7.0 * place, enhancing_ml=0.5) for place in range(32)]
    of_patients = [(str(place), one) for place, one in enumerate(cases)]
    statistics = SiteStatistics(TASK, of_patients, minimum=5, job_minimum=job)
    # 6 groups at the site, of 5 patients but for the last one's 7; a job's are 6, 3 or 2 of them joined.
    expected = {5: [5, 5, 5, 5, 5, 7]}.get(job, [10, 10, 12] if job <= 10 else [15, 17])
    assert list(filled(statistics, "volume_wt").values()) == expected
    assert statistics.minimum == job


def gather(settings, min_count=1):
    return gather_statistics(
        settings, TASK, min_count=min_count, progress=lambda *reported: None, cancelled=lambda: False
    )


@pytest.mark.parametrize(("own", "job", "effective"), [(1, 4, 4), (5, 2, 5), (3, -7, 3)])
def test_the_larger_minimum_counts(tmp_path, own, job, effective):
    assert gather(site_of(tmp_path, ["A"], min_count=own), job).minimum == effective


def test_cases_are_counted_by_reason(tmp_path):
    settings = site_of(tmp_path, ["A"])
    Hospital(settings.dataset).brats("B", without=["t2"])
    statistics = gather(settings)
    assert (statistics.patients, statistics.left_out) == (1, {"missing_image": 1})


def test_an_empty_folder_is_rejected_without_its_name_in_the_public_reason(tmp_path):
    (tmp_path / "Doe-Jane").mkdir()
    with pytest.raises(SiteRefusal) as caught:
        gather(SiteSettings(dataset=tmp_path / "Doe-Jane", **folders(tmp_path)))
    assert "Doe-Jane" in str(caught.value)
    assert "Doe-Jane" not in caught.value.public_reason


def test_names_and_ranges_of_features_are_public_and_do_not_depend_on_data():
    assert len(FEATURES) == len(TASK.statistics.features()) == 2 * 4 + 2 * 3 + 2 * 3
    assert all(feature.high > feature.low and feature.bins > 1 for feature in FEATURES.values())
    assert FEATURES["spacing_x"].centers[[4, 9, 49]].round(6).tolist() == [0.5, 1.0, 5.0]
