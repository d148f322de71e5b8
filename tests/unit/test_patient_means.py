"""Means of scores, wherever they are computed: a patient counts once, however many examinations there are."""

from types import SimpleNamespace

import pytest

from consilium.federation.site.evaluation import summarize_group
from consilium.federation.site.final_scores import score_final_model
from consilium.federation.site.validation import validate_model
from consilium.learning.evaluation_summary import summarize_evaluation
from consilium.local_training import scoring
from consilium.local_training.scoring import ModelScorer
from consilium.participant.local_only import PairedScores
from consilium.participant.participant import Participant
from consilium.participant.site_data import SiteData
from consilium.records.gain import measure_gain
from consilium.tasks import get_task

TASK = get_task("brain_tumor")
EVALUATION = TASK.evaluation
REGIONS = list(EVALUATION.metrics.targets)
PATIENTS = "AAABCDEFGHI"
CASES = tuple(SimpleNamespace(id=f"{place}", patient=patient) for place, patient in enumerate(PATIENTS))
DICE = [0.2, 0.4, 0.9, *[0.8] * 8]
MEAN = (0.5 + 8 * 0.8) / 9
DATA = SiteData((), CASES, CASES)


def row(dice, *, final=True):
    distances = {f"hd95_{name}": 5.0 for name in REGIONS} if final else {}
    return {**{f"dice_{name}": dice for name in REGIONS}, **distances}


ROWS = [row(dice) for dice in DICE]


class Learner:
    """Scores cases as `DICE` has it."""

    def score(self, weights, cases, *, final, **options):
        return [row(DICE[CASES.index(case)], final=final) for case in cases]


@pytest.fixture
def participant():
    participant = object.__new__(Participant)
    participant.data, participant.evaluation, participant._learner = DATA, EVALUATION, Learner()
    participant._hospital, participant._algorithm = None, SimpleNamespace(withholds_scores=False)
    participant.personalize = lambda weights, rounds_done: weights
    return participant


def of_a_round(participant):
    request, state = SimpleNamespace(current_round=1), SimpleNamespace(report=lambda *words, **options: None)
    abort = SimpleNamespace(triggered=False)
    return validate_model(participant, {}, request, None, state, None, abort)["dice"]


def of_a_final_model(participant):
    found = score_final_model(participant, {}, EVALUATION, min_count=1)
    low, high = found.intervals["dice"].low, found.intervals["dice"].high
    assert low <= MEAN <= high
    return found.scores["dice"]


def of_a_gain(participant):
    zero = dict.fromkeys(ROWS[0], 0.0)
    pairs = [PairedScores(one.id, one.patient, zero, scores) for one, scores in zip(CASES, ROWS, strict=True)]
    return measure_gain(pairs, EVALUATION).gains["dice"].mean


def of_models_to_compare_with(participant):
    return participant.summarize({}, cases=CASES, final=True)["dice"]


def of_a_local_training(participant):
    scorer = object.__new__(ModelScorer)
    scorer._learning, scorer._data, scorer._task, scorer._device = None, {"north": DATA}, TASK, None
    (tested,), (validated,) = scorer.test({}).values(), scorer.validate({}).values()
    assert tested.intervals["dice"].low <= MEAN <= tested.intervals["dice"].high
    assert tested.scores["dice"] == pytest.approx(validated["dice"])
    return validated["dice"]


def measured():
    names = [one.name for one in EVALUATION.measures]
    return [dict.fromkeys(names, dice) for dice in DICE], [one.patient for one in CASES]


def of_an_evaluation_at_the_hospital(participant):
    return summarize_evaluation(EVALUATION, *measured()).measures["dice"].mean


def of_an_evaluation_for_others(participant):
    return summarize_group(EVALUATION, CASES, measured()[0], 1).measures["dice"].mean


@pytest.mark.parametrize(
    "mean",
    [
        of_a_round,
        of_a_final_model,
        of_a_gain,
        of_models_to_compare_with,
        of_a_local_training,
        of_an_evaluation_at_the_hospital,
        of_an_evaluation_for_others,
    ],
)
def test_every_mean_is_over_patients_and_rounded_where_it_leaves(participant, monkeypatch, mean):
    monkeypatch.setattr(scoring, "score_cases", lambda task, learning, weights, cases, *rest, **options: ROWS)
    found = mean(participant)
    assert found == pytest.approx(MEAN, abs=1e-6)
    if mean in (of_a_round, of_a_final_model, of_a_gain, of_an_evaluation_for_others):
        assert found == pytest.approx(round(found, 6), abs=1e-12)
