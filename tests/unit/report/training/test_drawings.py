from typing import Any

import pytest
from matplotlib.figure import Figure

from consilium.errors import RefusalCode
from consilium.records.federation import SiteRound
from consilium.report.training.drawings import draw_gain, draw_service, draw_trust, rows_of
from consilium.report.training.study import StudyReport
from consilium.report.training.summary import summarize_study
from report.study import baselines, federation, scores, site_gain


@pytest.fixture(scope="module")
def many() -> StudyReport:
    """24 hospitals: the later, the smaller is the gain; one of those in the middle was rejected once."""
    record, made = federation(rounds=2), baselines()
    for place in range(20):
        site = f"site{place:02}"
        for sites in (record.final_sites, *(one.sites for one in record.rounds)):
            sites[site] = record.rounds[-1].sites["aster"]
        record.final_scores[site] = scores(0.5 + place / 50)
        made.gains[site] = site_gain(0.5 + place / 50, 0.6 + place / 100, 20, 0.01)
    record.rounds[0].sites["site09"] = SiteRound(outcome="refused", reason="odd", code=RefusalCode.UPDATE)
    return summarize_study(record, baselines=made, seconds={})


def drawn(draw: Any, report: StudyReport, most: int) -> tuple[list[str], list[str]]:
    """The names of the rows, and the notes beside them."""
    axes = Figure().add_subplot()
    draw(axes, report, most)
    return [label.get_text() for label in axes.get_yticklabels()], [text.get_text() for text in axes.texts]


def test_of_too_many_hospitals_the_best_and_the_worst_are_drawn_and_the_others_counted(
    many: StudyReport,
) -> None:
    names, notes = drawn(draw_gain, many, 6)
    assert names[0] == "site00"
    assert names[-1] == "site19"  # loses; a hospital that is not compared takes nobody's place
    assert names[3] == "(18 more)"
    assert notes[0].startswith("gains +0.100")
    assert notes[-1].startswith("loses")
    worst, _ = drawn(draw_service, many, 6)
    assert worst[0] == "site00"
    assert rows_of(many, 6) == {"gain": 6, "service": 6, "trust": 6}


def test_who_missed_something_is_among_the_drawn(many: StudyReport) -> None:
    names, notes = drawn(draw_trust, many, 6)
    assert names[0] == "site09"
    assert "1 update rejected" in notes[0]


def test_a_few_hospitals_are_all_drawn_in_the_order_of_the_page() -> None:
    report = summarize_study(federation(), baselines=baselines(), seconds={})
    names, notes = drawn(draw_trust, report, 6)
    assert names == ["aster", "birch", "cedar", "dahlia"]
    assert notes[0] == "10 / 4 / 4 / 0; rounds 5 of 5"
    names, notes = drawn(draw_gain, report, 6)
    assert names[-1] == "dahlia"
    assert notes[-1].startswith("not compared: ")
