"""A report of a job whose algorithm keeps scores and losses at the hospitals: nothing looks missing."""

import csv
import io
import json
import re

import pytest

from consilium.records.federation import FederationRecord
from consilium.report.training.build import build_report
from consilium.report.training.cautions import list_cautions
from consilium.report.training.curves import explain_missing_curves, list_curves, mean_by_round
from consilium.report.training.figure_data import trust_csv
from consilium.report.training.one_page import render_summary
from consilium.report.training.summary import summarize_study
from report.html import read_text
from report.study import baselines, federation, private_federation, site_round, summed_federation
from report.training.rendering import rendered

EXPLANATION = "Withheld: the algorithm of this job, dp_sgd, sends no number of validation patients."
PROMISE = (
    "noise (differential privacy by patient, level formal: for the whole job, epsilon is at most 8, and "
    "delta 1 / (10 N) at a hospital with N training patients)"
)


def cases_table(record: FederationRecord) -> str:
    html = rendered(record)
    section = html[html.index('<section aria-labelledby="cases">') :]
    return read_text(section[: section.index("</section>") + len("</section>")])


def test_counts_that_the_algorithm_withholds_are_not_called_few() -> None:
    table = cases_table(private_federation())
    assert EXPLANATION in table
    assert "aster 10 withheld 4 0" in table
    assert "few" not in table


def test_counts_of_too_few_patients_are_still_few() -> None:
    for record in (federation(1), private_federation("reconstruction", 1)):
        record.final_sites["aster"] = site_round("aster", validation_cases=None, loss=None)
        table = cases_table(record)
        assert "aster 10 few 4 0" in table
        assert "ithheld" not in table


@pytest.mark.parametrize(
    ("record", "privacy", "withheld"),
    [
        (
            private_federation(),
            {"epsilon": 8.0, "delta": None, "level": "formal", "secure_aggregation": False},
            ["validation_scores", "losses"],
        ),
        (
            private_federation("reconstruction"),
            {"epsilon": 1000.0, "delta": None, "level": "reconstruction", "secure_aggregation": False},
            ["losses"],
        ),
    ],
)
def test_programs_read_what_was_promised_and_what_never_left(record, privacy, withheld) -> None:
    report = json.loads(summarize_study(record, baselines=None, seconds={}).to_json())
    assert report["privacy"] == privacy
    assert report["withheld"] == withheld


@pytest.mark.parametrize("settings", [{}, {"algorithm": {"name": "of another version"}}, {"algorithm": 3}])
def test_programs_are_told_nothing_of_an_algorithm_that_is_not_known(settings) -> None:
    record = federation(1)
    record.settings = settings
    report = json.loads(summarize_study(record, baselines=None, seconds={}).to_json())
    assert (report["privacy"], report["withheld"]) == (None, [])


def test_programs_read_that_updates_had_no_noise() -> None:
    record = federation(1)
    record.settings["algorithm"] = {"name": "fedavg"}
    report = json.loads(summarize_study(record, baselines=None, seconds={}).to_json())
    assert report["privacy"] == {
        "epsilon": None,
        "delta": None,
        "level": "none",
        "secure_aggregation": False,
    }
    assert report["withheld"] == []


def test_rounds_have_no_chart_and_no_column_of_what_never_left() -> None:
    html = rendered(private_federation())
    text = read_text(html)
    assert '<figure class="curves">' not in html
    assert (
        "There are no charts of scores of validation patients and training losses: the algorithm of this "
        "job, dp_sgd, withholds them."
    ) in text
    rounds = html[html.index('<section aria-labelledby="rounds">') :].split("</section>")[0]
    assert "Scores are of the model" not in rounds
    assert not re.search(r"Dice|rowspan|<tr>\s*</tr>", rounds)


def test_losses_alone_that_are_withheld_leave_the_charts_of_scores() -> None:
    report = summarize_study(private_federation("reconstruction"), baselines=None, seconds={})
    assert list_curves(report) == ("Dice of all hospitals", "Dice by hospital")
    assert explain_missing_curves(report) == (
        "There is no chart of training losses: the algorithm of this job, dp_sgd, withholds them."
    )
    text = read_text(rendered(private_federation("reconstruction")))
    assert "Move the charts sideways to see all 2." in text
    assert "Scores are of validation patients" in text


@pytest.mark.long
def test_what_left_in_sums_only_is_shown_as_sums_and_said_to_be_withheld_of_each() -> None:
    record = summed_federation()
    report = summarize_study(record, baselines=None, seconds={})
    assert list_curves(report) == ("Dice of all hospitals",)
    curve = mean_by_round(report, report.compared_sites, report.metrics.key)
    assert [number for number, _ in curve] == [0, 1, 2, 3, 4, 5]
    assert curve[-1][1] > curve[1][1] > curve[0][1]
    assert explain_missing_curves(report) == (
        "There is no chart of scores of validation patients of single hospitals and training losses of "
        "single hospitals: the algorithm of this job, secagg_fedavg, withholds them."
    )
    html = rendered(record)
    assert '<figure class="curves">' in html
    table = cases_table(record)
    assert "aster withheld withheld 4 0" in table
    assert (
        "secagg_fedavg, sends numbers of training and validation patients, and their scores, in sums" in table
    )
    text = read_text(html)
    assert "few" not in table
    assert "on cases whose number is withheld" in text
    assert "None" not in text
    assert "choose nothing in this job" not in text
    render_summary(report)
    assert "None" not in trust_csv(report)
    assert not [one for one in list_cautions(record, compared=False) if "0 training cases" in one]


def test_other_jobs_have_all_three_charts_and_nothing_to_explain() -> None:
    report = summarize_study(federation(2), baselines=None, seconds={})
    assert len(list_curves(report)) == 3
    assert explain_missing_curves(report) == ""
    assert "ithheld" not in read_text(rendered(federation(2)))


@pytest.mark.parametrize(
    ("level", "expected"), [("formal", False), pytest.param("reconstruction", True, marks=pytest.mark.long)]
)
def test_there_is_no_file_of_empty_charts(level: str, expected: bool, tmp_path) -> None:
    names = ("curves.png", "curves_dark.png", "figures/curves.svg", "figures/curves.csv")
    (tmp_path / "figures").mkdir()
    for name in names:
        (tmp_path / name).write_text("of an earlier report")
    build_report(tmp_path, private_federation(level, 2), baselines=None, seconds={}, patients={})
    assert [(tmp_path / name).exists() for name in names] == [expected] * 4
    assert not [name for name in names if expected and b"earlier" in (tmp_path / name).read_bytes()]
    assert (tmp_path / "figures/trust.svg").exists()
    if expected:
        assert "training loss" not in (tmp_path / "figures/curves.svg").read_text().lower()


def test_a_withheld_count_is_an_empty_cell_for_other_programs() -> None:
    report = summarize_study(private_federation(), baselines=None, seconds={})
    aster = next(csv.DictReader(io.StringIO(trust_csv(report))))
    assert (aster["training_cases"], aster["validation_cases"], aster["test_cases"]) == ("10", "", "4")


def written_on_pdf(record: FederationRecord, monkeypatch: pytest.MonkeyPatch) -> str:
    lines: list[str] = []
    monkeypatch.setattr("matplotlib.figure.Figure.text", lambda self, x, y, text, **style: lines.append(text))
    render_summary(summarize_study(record, baselines=None, seconds={}))
    return " ".join(lines)


@pytest.mark.long
def test_page_and_pdf_state_what_the_job_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PROMISE in read_text(rendered(private_federation()))
    written = written_on_pdf(private_federation(), monkeypatch)
    assert PROMISE in written
    assert EXPLANATION in written
    promised = private_federation("reconstruction")
    promised.settings["algorithm"] |= {"epsilon": 200.0, "delta": 1e-5}
    written = written_on_pdf(promised, monkeypatch)
    assert "level reconstruction: for the whole job, epsilon is at most 200, and delta 1e-05, or 1" in written
    assert EXPLANATION not in written


def test_no_sentence_lets_validation_patients_choose_a_round() -> None:
    text = read_text(rendered(private_federation()))
    assert "No round is the best: the job's algorithm withholds scores of validation patients." in text
    assert "Validation patients choose nothing in this job: its algorithm withholds their scores" in text
    assert "Validation patients choose the best round" in read_text(rendered(federation()))


def test_models_to_compare_with_are_said_to_have_no_noise() -> None:
    without = "The local-only and pooled models were trained without noise"
    private = read_text(rendered(private_federation(), baselines=baselines()))
    for said in (without, "number of steps, but no noise.", "training them apart with noise costs"):
        assert said in private
        assert said not in read_text(rendered(federation(), baselines=baselines()))
    assert without not in " ".join(list_cautions(private_federation()))
    assert without not in " ".join(list_cautions(federation(), compared=True))
