import pytest

from consilium.records.federation import FederationRecord, RoundRecord
from consilium.records.model_comparison import kept_round, key_scores, paired_difference, scoring_sites
from consilium.tasks import get_task


def record(*evaluations: dict[str, float], excluded: tuple[str, ...] = ()) -> FederationRecord:
    """A job whose initial model and rounds got these Dice, by site."""
    initial, *rounds = [{site: {"dice": dice} for site, dice in one.items()} for one in evaluations]
    return FederationRecord(
        job="a job",
        task="brain_tumor",
        title="Brain tumor segmentation",
        metrics=get_task("brain_tumor").evaluation.metrics,
        rounds_planned=len(rounds),
        settings={},
        initial_scores=initial,
        rounds=[
            RoundRecord(number=index + 1, seconds=1.0, sites={}, scores=scores)
            for index, scores in enumerate(rounds)
        ],
        excluded=list(excluded),
    )


BEFORE = {"north": 0.5, "south": 0.25, "east": 0.75}


@pytest.mark.parametrize(
    ("after", "median", "upper"),
    [
        ({"north": 0.75, "south": 0.375, "east": 0.75}, 0.125, 0.125),
        ({"north": 1.0, "south": 0.125, "east": 0.5}, -0.125, -0.125),  # one site's word
        ({"north": 0.75, "east": 1.0}, 0.25, 0.25),
        ({"north": 0.75, "east": 0.5}, 0, 0),  # the two disagree, and the third counts as unchanged
        ({"north": 0.75, "south": 0.5, "east": 0.5, "new": 0.0}, 0.125, 0.25),
    ],
)
def test_models_are_compared_by_the_median_of_each_site_s_difference(
    after: dict[str, float], median: float, upper: float
) -> None:
    difference = paired_difference(record({}, BEFORE, after), 2, 1)
    assert difference is not None
    assert (difference.median, difference.upper_median) == (median, upper)


@pytest.mark.parametrize(
    ("sites", "common"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (64, 33)], ids=str
)
def test_more_than_half_of_the_sites_have_to_have_evaluated_both(sites: int, common: int) -> None:
    everybody = {f"site-{place}": 0.5 for place in range(sites)}
    enough, too_few = (dict(list(everybody.items())[:count]) for count in (common, common - 1))
    assert paired_difference(record({}, everybody, enough), 2, 1) is not None
    assert paired_difference(record({}, everybody, too_few), 2, 1) is None
    assert paired_difference(record({}, too_few, everybody), 2, 1) is None


def test_a_site_counts_that_evaluated_any_model_and_is_not_excluded() -> None:
    some = record({"initial": 0.1}, {"north": 0.2}, {"south": 0.3, "evil": 1.0}, excluded=("evil",))
    some.rounds[1].scores["clinic"] = {"hd95": 3.0}  # too few patients for the key score
    assert scoring_sites(some) == {"initial", "north", "south"}
    assert key_scores(some, 2) == {"south": 0.3}


def test_the_initial_model_is_round_0() -> None:
    difference = paired_difference(record({"north": 0.25}, {"north": 0.75}), 1, 0)
    assert difference is not None
    assert difference.by_site == {"north": 0.5}


@pytest.mark.parametrize(
    ("after", "basis"),
    [
        ({"north": 0.75, "south": 0.5, "east": 0.5}, "3 sites"),
        ({"north": 0.75, "east": 1.0}, "3 sites, 1 of which did not evaluate both and counts as unchanged"),
        (
            {"north": 0.7, "south": 0.7, "east": 1.0, "a": 1.0, "b": 1.0},
            "5 sites, 2 of which did not evaluate both and count as unchanged",
        ),
    ],
)
def test_the_sites_behind_a_difference_are_counted(after: dict[str, float], basis: str) -> None:
    difference = paired_difference(record({}, BEFORE, after), 2, 1)
    assert difference is not None
    assert difference.basis == basis


def test_the_last_round_that_was_kept() -> None:
    some = record({}, {}, {}, {})
    assert [kept_round(some, number) for number in range(4)] == [0, 1, 2, 3]
    for dropped in (some.rounds[0], some.rounds[2]):
        dropped.rolled_back = "worse"
    assert [kept_round(some, number) for number in range(4)] == [0, 0, 2, 2]
