from pathlib import Path

import pytest

from consilium.records.federation import FederationRecord
from consilium.report.chart_style import LIGHT
from consilium.report.training.curves import draw_curves, mean_by_round
from consilium.report.training.summary import summarize_study

from ..study import federation, scores, site_round


def drawn(record: FederationRecord, path: Path) -> bytes:
    draw_curves(summarize_study(record, baselines=None, seconds={}), path, LIGHT)
    return path.read_bytes()


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return drawn(federation(rounds=3), tmp_path_factory.mktemp("curves") / "curves.png")


@pytest.mark.long
def test_the_same_study_gives_the_same_picture(usual: bytes, tmp_path: Path) -> None:
    assert drawn(federation(rounds=3), tmp_path / "curves.png") == usual


def test_every_round_s_scores_are_drawn(usual: bytes, tmp_path: Path) -> None:
    record = federation(rounds=3)
    record.rounds[1].scores["cedar"] = scores(0.2, distances=False)
    assert drawn(record, tmp_path / "curves.png") != usual


@pytest.mark.long
def test_every_hospital_s_loss_is_drawn(usual: bytes, tmp_path: Path) -> None:
    record = federation(rounds=3)
    record.rounds[0].sites["aster"] = site_round("aster", loss=0.7)
    assert drawn(record, tmp_path / "curves.png") != usual


def test_names_that_matplotlib_would_read_otherwise_are_drawn(tmp_path: Path) -> None:
    record = federation(rounds=1)
    record.rounds[0].sites[r"_$\frac{"] = site_round("aster")
    metrics = [one.model_copy(update={"title": r"$\frac{$"}) for one in record.metrics.metrics]
    record.metrics = record.metrics.model_copy(update={"metrics": tuple(metrics)})
    assert drawn(record, tmp_path / "curves.png").startswith(b"\x89PNG")


def test_a_round_that_a_hospital_missed_has_no_mean() -> None:
    """A mean over the others would show a step that no hospital made."""
    record = federation(rounds=3)
    del record.rounds[1].scores["dahlia"]
    report = summarize_study(record, baselines=None, seconds={})
    assert [number for number, _ in mean_by_round(report, report.compared_sites, "dice")] == [0, 1, 3]
    assert [number for number, _ in mean_by_round(report, ["dahlia"], "dice")] == [0, 1, 3]
    assert [number for number, _ in mean_by_round(report, ["aster"], "dice")] == [0, 1, 2, 3]
