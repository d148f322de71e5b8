"""A task with a single target has one column of scores, and no mean over one thing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from consilium.records.federation import FederationRecord
from consilium.report import site_combiner
from consilium.report.chart_style import LIGHT
from consilium.report.training.build import build_report
from consilium.report.training.curves import draw_curves
from consilium.report.training.summary import summarize_study
from consilium.report.training.tables import compare_models
from consilium.tasks.segmentation.evaluation import SegmentationEvaluation
from consilium.tasks.segmentation.regions import Region
from report.grading import record, task
from report.html import read_text
from report.study import CASES

LESION = Region("lesion", "Lesion", frozenset({1}))
EFFUSION = Region("effusion", "Effusion", frozenset({2}))


def study(regions: Sequence[Region], monkeypatch: pytest.MonkeyPatch) -> FederationRecord:
    """Two rounds at four hospitals, every score of a hospital the same."""
    evaluation = SegmentationEvaluation(regions, penalty_mm=374)
    monkeypatch.setattr(site_combiner, "get_task", lambda name: task(evaluation))
    names = [one.name for one in evaluation.metrics.metrics]
    final = {site: dict.fromkeys(names, 0.5 + place / 10) for place, site in enumerate(CASES)}
    during = {
        site: {name: value for name, value in scores.items() if "hd95" not in name}
        for site, scores in final.items()
    }
    return record(evaluation, [during, during], final)


def text_of(page: Path) -> str:
    return read_text(page.read_text(encoding="utf-8"))


@pytest.mark.long
@pytest.mark.usefixtures("without_drawings")
def test_one_target_is_one_column_and_one_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = study([LESION], monkeypatch)
    report = summarize_study(one, baselines=None, seconds={})
    cells = compare_models(report)[0].rows[0].cells
    assert {title: len(found) for title, found in cells.items()} == {"Dice": 1, "HD95": 1}
    assert report.metrics.key_name == "Dice"
    drawn: list[str] = []
    monkeypatch.setattr(
        "consilium.report.training.curves.label_text", lambda text: drawn.append(text) or text
    )
    draw_curves(report, tmp_path / "curves.png", LIGHT)
    assert drawn.count("Dice") == 1
    assert not {"Mean", "Lesion"} & set(drawn)
    text = text_of(build_report(tmp_path / "report", one, baselines=None, seconds={}, patients={}))
    assert "LESION" not in text
    assert "mean Dice" not in text
    assert "“Mean”" not in text


@pytest.mark.usefixtures("without_drawings")
def test_two_targets_have_a_column_each_and_their_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = study([LESION, EFFUSION], monkeypatch)
    report = summarize_study(two, baselines=None, seconds={})
    cells = compare_models(report)[0].rows[0].cells
    assert {title: len(found) for title, found in cells.items()} == {"Dice": 3, "HD95": 3}
    text = text_of(build_report(tmp_path / "report", two, baselines=None, seconds={}, patients={}))
    assert "a mean Dice of" in text
    assert "“Mean” is over lesion (LESION) and effusion (EFFUSION)." in text
