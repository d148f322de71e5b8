"""The page of a local evaluation: what a hospital reads there."""

from types import SimpleNamespace

import pytest

from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.learning.evaluation_summary import summarize_evaluation
from consilium.report.evaluation.page import LocalEvaluation, render_evaluation
from consilium.report.evaluation.rows import key_row, key_rows, measure_rows
from consilium.tasks import get_task
from consilium.tasks.base import Target
from report.grading import GRADING, cell
from report.html import read_text

TUMORS = get_task("brain_tumor")
GRADES = SimpleNamespace(name="grades", targets=(Target("grade", "Grade"),), evaluation=GRADING)


def html(task, scores, *, findings=(), left_out=0):
    rows = list(scores.values())
    summary = summarize_evaluation(task.evaluation, rows, list(scores))
    evaluation = LocalEvaluation(
        task=task,
        folder="clinic",
        model="a" * 64,
        round=3,
        summary=summary,
        cases=scores,
        findings=findings,
        left_out=left_out,
    )
    return render_evaluation(evaluation)


def page(task, scores, **options):
    return read_text(html(task, scores, **options))


def tumors(**values):
    names = [one.name for one in TUMORS.evaluation.measures]
    return {case: dict.fromkeys(names, value) for case, value in values.items()}


FIVE = tumors(A=0.9, B=0.8, C=0.7, D=0.6, E=0.5)


def test_the_key_metric_comes_first_with_interval_and_number_of_patients():
    text = page(TUMORS, FIVE)
    assert "Mean Dice 0.700 (95 % interval 0." in text
    assert "over 5 patients." in text
    assert "model aaaaaaaaaaaa after 3 rounds" in text
    assert "not trained on these" in text
    assert "no intervals" not in text
    assert "Median" in text


@pytest.mark.long
def test_few_patients_are_cautioned():
    text = page(TUMORS, tumors(A=0.9))
    assert "Mean Dice 0.900 over 1 patient. So few patients say little about others." in text
    assert "1 patient: below 5 there are no intervals and no quantiles." in text


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("patients", [1, 2, 4])
def test_a_few_patients_have_no_quantiles(patients):
    text = html(TUMORS, tumors(**dict(zip("ABCD"[:patients], (0.91, 0.52, 0.33, 0.84), strict=False))))
    assert "Median" not in text
    assert "95 %</th>" not in text.replace("95 % interval</th>", "")
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    assert table.count("<td>") == 2 * table.count("<tr>")  # mean and interval


@pytest.mark.long
def test_every_region_has_every_metric_and_definitions_follow():
    text = page(TUMORS, FIVE)
    for title in ("Overall", "Tumor core", "Whole tumor", "Enhancing tumor"):
        assert f"{title} " in text
    assert text.count("Lesion-wise HD95, mm") == 4
    assert "In each case the mean over Tumor core, Whole tumor, Enhancing tumor." in text
    assert "Share of both surfaces' area that lies within 1 mm" in text


@pytest.mark.long
def test_the_worst_cases_are_named_for_the_hospital():
    text = page(TUMORS, {**FIVE, **tumors(F=0.1, G=0.95)})
    worst = text.partition("Look at these first")[2].partition("How to read")[0]
    assert worst.index("F 0.100") < worst.index("E 0.500") < worst.index("B 0.800")
    assert "G" not in worst.partition("has all.")[2]


@pytest.mark.long
def test_what_is_left_out_has_its_code_and_remedy():
    finding = Finding(code=DataCode.UNLABELED, case_id="<b>Roe</b>", detail="It has no label.")
    text = page(TUMORS, FIVE, findings=[finding], left_out=1)
    assert "1 case left out; the reasons are below." in text
    assert "no label to compare with (unlabeled) 1" in text
    assert finding.code.remedy in text


def test_every_case_is_a_dot_where_cases_have_scores():
    drawn = html(TUMORS, FIVE)
    assert drawn.count("data:image/png") == 2  # light and dark
    assert drawn != html(TUMORS, {**FIVE, **tumors(E=0.1)})
    assert "the line its 95 % interval" in drawn
    assert "the line its" not in html(TUMORS, tumors(A=0.9, B=0.8))
    assert "data:image" not in html(GRADES, {"P": {cell(0, 0): 1.0}})


def test_without_any_case_the_page_says_so():
    assert "No case could be evaluated." in page(TUMORS, {}, left_out=2)


def test_grades_have_kappa_and_counts_and_no_volumes():
    answers = [(0, 0), (1, 1), (2, 2), (2, 1), (0, 0), (1, 0)]
    text = page(GRADES, {f"P{index}": {cell(*one): 1.0} for index, one in enumerate(answers)})
    kappa = GRADING.summarize([{cell(*one): 1.0} for one in answers])["kappa"]
    assert f"Kappa {kappa:.2f} (95 % interval" in text
    assert "confusion 0 0 2" in text
    assert "Look at these first" not in text
    assert "Dice" not in text


def test_rows_are_grouped_by_target_and_the_key_of_a_single_target_is_its_own():
    summary = summarize_evaluation(TUMORS.evaluation, list(FIVE.values()), list(FIVE))
    assert list(measure_rows(TUMORS, summary)) == ["Overall", *(one.title for one in TUMORS.targets)]
    assert key_row(TUMORS, summary).measure.name == "dice"
    names = [row.measure.name for row in key_rows(TUMORS, summary).values()]
    assert names == ["dice", "dice_tc", "dice_wt", "dice_et"]
