import csv
import io

import pytest

from consilium.records.federation import SiteRound
from consilium.report.training.figure_data import curves_csv, gain_csv, service_csv, trust_csv
from consilium.report.training.summary import summarize_study
from report.study import federation, scores, site_round
from report.training.answers.studies import compared


def rows(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content)))


def test_gains_have_their_intervals_and_the_set_of_patients() -> None:
    found = {row["hospital"]: row for row in rows(gain_csv(compared(aster=0.05, birch=-0.03)))}
    aster = found["aster"]
    assert [round(float(aster[name]), 6) for name in ("gain", "low", "high")] == [0.05, 0.03, 0.07]
    assert (aster["standing"], aster["patients"], aster["set"]) == ("gains", "20", "test")
    assert found["birch"]["standing"] == "loses"
    assert (found["dahlia"]["gain"], found["dahlia"]["standing"]) == ("", "not compared")


def test_scores_cases_and_curves_are_those_of_the_report() -> None:
    report = summarize_study(federation(rounds=2), baselines=None, seconds={})
    dice = [row for row in rows(service_csv(report)) if row["metric"] == "dice"]
    assert [row["hospital"] for row in dice] == ["dahlia", "cedar", "birch", "aster"]
    assert [float(row["value"]) for row in dice] == [0.72, 0.76, 0.80, 0.84]
    trust = {row["hospital"]: row for row in rows(trust_csv(report))}
    assert (trust["aster"]["training_cases"], trust["aster"]["test_cases"]) == ("10", "4")
    assert (trust["dahlia"]["rounds_trained"], trust["dahlia"]["rounds_missed"]) == ("0", "0")
    last = [row for row in rows(curves_csv(report)) if row["round"] == "2" and row["metric"] == "dice"]
    assert {row["hospital"]: float(row["value"]) for row in last}["aster"] == pytest.approx(0.84)


def test_a_count_that_never_left_its_hospital_is_an_empty_cell() -> None:
    record = federation(rounds=1, final_sites={})
    record.rounds[0].sites["cedar"] = site_round("cedar", left_out={"truncated": None, "not_3d": 7})
    found = {
        row["hospital"]: row for row in rows(trust_csv(summarize_study(record, baselines=None, seconds={})))
    }
    assert (found["cedar"]["left_out_cases"], found["aster"]["left_out_cases"]) == ("", "0")


def test_no_text_of_others_is_a_formula_in_a_spreadsheet() -> None:
    record = federation(rounds=1)
    record.rounds[0].sites["=cmd()"] = site_round("aster")
    record.final_scores["=cmd()"] = scores(0.5)
    record.local_only = {"aster": SiteRound(outcome="refused", reason="@SUM(1)")}
    report = summarize_study(record, baselines=None, seconds={})
    for content in (gain_csv(report), service_csv(report), trust_csv(report), curves_csv(report)):
        cells = [cell for row in csv.reader(io.StringIO(content)) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]
    assert "'=cmd()" in service_csv(report)
