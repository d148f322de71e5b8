from consilium.report.training.summary import summarize_study
from consilium.report.training.verdict import state_verdict
from report.study import FINAL_DICE, baselines, federation, scores
from report.training.answers.studies import compared


def test_the_sentences_have_the_numbers_of_every_comparison() -> None:
    assert state_verdict(compared(aster=0.05, birch=0.04, cedar=-0.03)) == [
        "On 14 patient cases of 4 hospitals that no model was trained on, the federation's model reaches a "
        "mean Dice of 0.780 (tumor core 0.780, whole tumor 0.840, enhancing tumor 0.720).",
        "On average over the 3 compared hospitals, its 0.800 is 0.020 above their own models (0.780).",
        "Over all 4 hospitals, it is 0.010 below one model trained on all data in one place (0.790).",
    ]


def test_a_difference_that_rounds_away_is_none() -> None:
    record = federation(final_scores={site: scores(dice + 0.008) for site, dice in FINAL_DICE.items()})
    sentences = state_verdict(summarize_study(record, baselines=baselines(), seconds={}))
    assert any("it is level with one model trained on all data" in one for one in sentences)


def test_a_run_without_final_scores_has_no_verdict_on_a_model() -> None:
    report = summarize_study(federation(status="failed", final_scores={}), baselines=None, seconds={})
    assert state_verdict(report) == []
