import pytest

from consilium.report.training.summary import summarize_study
from consilium.report.training.tables import compare_models, cross_sites
from report.study import baselines, federation


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
