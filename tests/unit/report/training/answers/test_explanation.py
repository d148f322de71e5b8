import pytest

from consilium.report.training.answers.explanation import describe_progress, explain_no_gain
from consilium.report.training.summary import summarize_study
from report.study import FINAL_DICE, baselines, federation, scores, site_gain
from report.training.answers.studies import compared


def test_what_a_pooled_model_reaches_separates_the_cases_from_the_averaging() -> None:
    report = compared(aster=0.05, birch=0.05, cedar=-0.03)  # its own model reaches 0.79
    cedar = report.sites["cedar"]
    assert cedar.pooled is not None
    assert "one model of all cases in one place is no better there (0.770; its own 0.790)" in explain_no_gain(
        report, "cedar"
    )
    cedar.pooled["dice"] = 0.85
    assert "better there (0.850; its own 0.790), so the cases help, and training them apart costs 0.090" in (
        explain_no_gain(report, "cedar")
    )
    cedar.pooled = None
    assert "one model of all cases" not in explain_no_gain(report, "cedar")


def test_the_largest_hospital_and_one_that_missed_rounds_are_said_to_be() -> None:
    report = compared(aster=-0.03, birch=-0.03, cedar=-0.03)
    assert "it has the most training cases (10 of 26)" in explain_no_gain(report, "aster")
    assert "most training cases" not in explain_no_gain(report, "birch")
    report.sites["birch"].rounds_trained = 3
    assert "it trained in 3 of 5 rounds" in explain_no_gain(report, "birch")


def test_a_hospital_whose_patients_other_models_do_not_fit_is_said_to_differ() -> None:
    report = compared(aster=0.05, birch=0.05, cedar=-0.03)
    for home, by_site in report.local_models.items():
        by_site["cedar"] = {"dice": 0.79 if home == "cedar" else 0.77}
    words = "models that other hospitals trained alone are worse there (0.770 at best; its own 0.790)"
    assert words in explain_no_gain(report, "cedar")
    report.local_models["birch"]["cedar"]["dice"] = 0.78
    assert "other hospitals trained alone" not in explain_no_gain(report, "cedar")


def test_an_interval_with_zero_says_what_so_few_patients_can_show() -> None:
    report = compared(aster=0.05, birch=0.05, cedar=0.01)
    cedar = report.sites["cedar"]
    assert cedar.gain is not None
    assert cedar.gain.standing == "unclear"
    words = "its 20 test patients show only differences of more than about 0.020"
    assert words in explain_no_gain(report, "cedar")
    assert "show only differences" not in explain_no_gain(compared(cedar=-0.03), "cedar")


def test_where_the_record_shows_no_reason_none_is_made_up() -> None:
    report = compared(aster=0.05, birch=0.05, cedar=-0.03)
    report.sites["cedar"].pooled = None
    report.local_models.clear()
    assert explain_no_gain(report, "cedar") == (
        "The federation does not help cedar; the record shows no reason."
    )


@pytest.mark.parametrize(("last", "improving"), [(0.05, True), (0.0, False), (-0.05, False)])
def test_a_model_that_still_improved_may_need_more_rounds(last: float, improving: bool) -> None:
    record = federation(rounds=2)
    for number, step in enumerate((0.0, last)):
        record.rounds[number].scores = {
            site: scores(dice - 0.1 + step, distances=False) for site, dice in FINAL_DICE.items()
        }
    made = baselines()
    made.gains["cedar"] = site_gain(FINAL_DICE["cedar"] + 0.1, FINAL_DICE["cedar"], 20, 0.02)
    report = summarize_study(record, baselines=made, seconds={})
    assert bool(list(describe_progress(report))) == improving
