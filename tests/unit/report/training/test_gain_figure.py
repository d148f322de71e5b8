import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.report.training.gain_figure import GainFigure, arrange_gains
from consilium.report.training.summary import summarize_study
from report.study import FINAL_DICE, baselines, federation, site_gain


def figure(gains: dict[str, float], width: float | None = 0.02, *, dots: bool = False) -> GainFigure:
    made = baselines()
    made.gains = {
        site: site_gain(FINAL_DICE[site] - gain, FINAL_DICE[site], 20, width) for site, gain in gains.items()
    }
    made.patient_gains = (
        {site: [gain - 0.1, gain, gain + 0.03] for site, gain in gains.items()} if dots else {}
    )
    found = arrange_gains(summarize_study(federation(), baselines=made, seconds={}), made.patient_gains)
    assert found is not None
    return found


def test_hospitals_are_sorted_by_their_gain_and_those_without_one_come_last() -> None:
    rows = figure({"aster": -0.03, "birch": 0.05}).rows
    assert [row.site for row in rows] == ["birch", "aster", "cedar", "dahlia"]
    assert [row.standing for row in rows] == ["gains", "loses", "not compared", "not compared"]
    assert [row.place is None for row in rows] == [False, False, True, True]


@given(st.dictionaries(st.sampled_from(["aster", "birch", "cedar"]), st.floats(-0.5, 0.5), min_size=1))
def test_everything_is_inside_the_figure_and_on_its_side_of_zero(gains: dict[str, float]) -> None:
    found = figure(gains, dots=True)
    assert 2 <= len(found.ticks) <= 6
    assert [tick.place for tick in found.ticks if tick.value == pytest.approx(0)] == [found.zero]
    for row in found.rows:
        if row.place is None:
            continue
        assert row.ends is not None
        assert all(0 < place < 100 for place in (row.place, *row.ends, *row.dots))
        assert row.ends[0] <= row.place <= row.ends[1]
        assert row.gain.mean is not None
        assert (row.place - found.zero) * row.gain.mean >= -1e-2
        if row.standing == "gains":
            assert row.ends[0] >= found.zero  # places are rounded
        if row.standing == "loses":
            assert row.ends[1] <= found.zero


def test_without_patients_there_are_no_dots_and_no_range() -> None:
    found = figure({"aster": 0.05}, width=None)
    assert not found.has_dots
    assert (found.rows[0].dots, found.rows[0].ends) == ((), None)


def test_the_range_of_few_patients_is_no_interval() -> None:
    row = figure({"aster": 0.05}, width=None, dots=True).rows[0]
    assert row.is_range
    assert row.ends == (row.dots[0], row.dots[-1])


def test_there_is_no_figure_without_models_to_compare_with() -> None:
    assert arrange_gains(summarize_study(federation(), baselines=None, seconds={}), {}) is None
