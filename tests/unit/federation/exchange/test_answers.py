"""What is read of a single answer."""

import pytest
from nvflare.app_common.abstract.fl_model import FLModel
from report.grading import GRADING, graded

from consilium.federation.exchange.answer_form import RejectedAnswer
from consilium.federation.exchange.answers import TaskAnswers
from consilium.federation.message_names import PREPARE, REPORT_META, TRAIN
from consilium.tasks import get_task

EVALUATION = get_task("brain_tumor").evaluation
SCORES = {one.name: 0.5 for one in EVALUATION.metrics.in_round(final=False)}


def read(task, cases, scores):
    answers = TaskAnswers()
    answers.evaluation = EVALUATION
    answers.expect(task, 0, ["north"])
    report = {"role": "trains", "train_cases": 9, "validation_cases": cases}
    answer = FLModel(params={}, metrics=dict(scores), current_round=0, meta={REPORT_META: report})
    answers.read("north", answer)
    return answer.metrics


def test_scores_of_known_cases_are_read():
    assert read(TRAIN, 5, SCORES) == SCORES


@pytest.mark.parametrize(("task", "cases"), [(TRAIN, 0), (TRAIN, None), (PREPARE, 5)])
def test_scores_without_cases_to_measure_them_on_are_rejected(task, cases):
    with pytest.raises(RejectedAnswer, match="without a model and cases"):
        read(task, cases, SCORES)


@pytest.mark.parametrize("cases", [0, None])
def test_a_site_that_keeps_its_scores_takes_part(cases):
    assert read(TRAIN, cases, {}) == {}


def test_what_is_shown_of_several_sites_follows_from_their_counts_and_has_none_of_them():
    answers = TaskAnswers()
    answers.evaluation = GRADING
    sites = {"north": graded(3, 1, 4), "south": graded(1, 1, 6)}
    shown = answers.combine(sites)
    assert shown.keys() == {"kappa", "accuracy"}
    assert shown["accuracy"] == pytest.approx(4 / 10)
    assert answers.combine({"north": {}}) == {}
