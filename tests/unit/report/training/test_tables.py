import pytest

from consilium.records.federation import SiteRound
from consilium.records.score_intervals import ScoreInterval
from consilium.report.training.summary import summarize_study
from consilium.report.training.tables import compare_models, compare_tested, cross_sites
from report.study import baselines, federation, scores, site_report


def test_each_hospital_compares_the_models_evaluated_there() -> None:
    groups = compare_models(summarize_study(federation(), baselines=baselines(), seconds={}))
    models = {group.title: [row.model for row in group.rows] for group in groups}
    assert models["aster"] == ["Federated", "Local-only, own", "Local-only, mean", "Pooled"]
    assert models["dahlia"] == ["Federated", "Local-only, mean", "Pooled"]
    assert groups[0].title == "Mean over 4 hospitals"
    assert groups[0].cases == 14


def test_the_best_is_the_highest_dice_and_the_shortest_distance() -> None:
    overall = compare_models(summarize_study(federation(), baselines=baselines(), seconds={}))[0]
    assert {row.model for row in overall.rows if row.cells["Dice"][0].best} == {"Pooled"}
    assert {row.model for row in overall.rows if row.cells["HD95"][0].best} == {"Pooled"}
    leads = {row.model: row.lead for row in overall.rows}
    assert leads["Federated"] is None
    assert leads["Local-only, mean"] == pytest.approx(0.16)
    assert leads["Pooled"] == pytest.approx(-0.01)


def test_a_model_alone_is_not_the_best() -> None:
    groups = compare_models(summarize_study(federation(), baselines=None, seconds={}))
    assert not any(
        cell.best for group in groups for row in group.rows for cell in row.cells["Dice"] + row.cells["HD95"]
    )


def test_the_matrix_knows_where_each_model_was_trained() -> None:
    rows = cross_sites(summarize_study(federation(), baselines=baselines(), seconds={}))
    assert [(row.model, row.home) for row in rows] == [
        ("aster", "aster"),
        ("birch", "birch"),
        ("cedar", "cedar"),
        ("Pooled", None),
        ("Federated", None),
    ]
    assert rows[1].values == pytest.approx({"aster": 0.64, "birch": 0.76, "cedar": 0.56, "dahlia": 0.52})


def test_the_final_and_the_best_model_are_compared_on_test_patients() -> None:
    """One hospital has no score of the best model, another one none at all: the mean is over the others."""
    record = federation(best_round=3)
    record.best_scores = {site: scores(0.5) for site in ("aster", "birch", "dahlia")}
    interval = ScoreInterval(low=0.8, high=0.9)
    record.final_sites["aster"].report = site_report("aster", intervals={"dice": interval})
    record.best_sites = {"aster": SiteRound(outcome="evaluated", report=site_report("aster"))}
    del record.final_scores["dahlia"], record.best_scores["dahlia"]
    tested = compare_tested(summarize_study(record, baselines=None, seconds={}))
    assert tested is not None
    assert (tested.final, tested.best, tested.is_same) == (5, 3, False)
    rows = {row.site: row for row in tested.rows}
    assert list(rows) == ["aster", "birch", "cedar", "Mean over 2 hospitals"]
    assert (rows["aster"].cases, rows["aster"].final, rows["aster"].best) == (4, 0.84, 0.5)
    assert (rows["aster"].final_interval, rows["aster"].best_interval) == (interval, None)
    assert rows["cedar"].best is None
    mean = rows["Mean over 2 hospitals"]
    assert (mean.cases, mean.final, mean.best) == (7, pytest.approx(0.82), pytest.approx(0.5))


def test_a_dropped_last_round_is_not_the_final_model() -> None:
    record = federation(best_round=4, best_scores={"aster": scores(0.84)})
    record.rounds[-1].rolled_back = "its model scored lower"
    tested = compare_tested(summarize_study(record, baselines=None, seconds={}))
    assert tested is not None
    assert (tested.final, tested.is_same) == (4, True)


def test_without_any_test_score_there_is_nothing_to_compare() -> None:
    assert compare_tested(summarize_study(federation(final_scores={}), baselines=None, seconds={})) is None
