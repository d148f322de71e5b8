from consilium.report.summary import summarize_study
from consilium.report.verdict import state_verdict

from .study import FINAL_DICE, baselines, federation, scores


def test_the_verdict_has_the_numbers_of_every_comparison() -> None:
    assert state_verdict(summarize_study(federation(), baselines=baselines(), seconds={})) == [
        "On 14 patient cases of 4 hospitals that no model was trained on, the federation's model reaches a "
        "mean Dice of 0.780 (tumor core 0.780, whole tumor 0.840, enhancing tumor 0.720).",
        "That is 0.160 above the mean of the models that hospitals trained alone (0.620), and higher "
        "at all 4.",
        "It is 0.010 below one model trained on all data in one place (0.790).",
        "Its lowest mean is at dahlia: 0.720.",
    ]


def test_a_federation_that_loses_is_told_as_it_is() -> None:
    local = {
        "aster": {site: dice + (0.11 if site == "aster" else -0.01) for site, dice in FINAL_DICE.items()}
    }
    record = federation()
    sentence = state_verdict(summarize_study(record, baselines=baselines(local), seconds={}))[1]
    assert "0.020 below the mean of the models" in sentence
    assert "higher at 3 of the 4" in sentence


def test_a_difference_that_rounds_away_is_none() -> None:
    record = federation(final_scores={site: scores(dice + 0.008) for site, dice in FINAL_DICE.items()})
    sentences = state_verdict(summarize_study(record, baselines=baselines(), seconds={}))
    assert sentences[2].startswith("It is level with one model trained on all data")


def test_a_run_without_final_scores_has_no_verdict_on_a_model() -> None:
    record = federation(status="failed", final_scores={})
    verdict = state_verdict(summarize_study(record, baselines=None, seconds={}))
    assert verdict == ["There is no judged final model: the run failed."]
