"""Final models of which there are no scores."""

import pytest
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import TEST, VALIDATE
from consilium.records.outcome import determine_outcome
from federation.rehearsal import Site, panics, saved


class Leaving(Site):
    """Is lost before the test, or answers it without scores."""

    def __init__(self, *, answers):
        super().__init__()
        self.answers = answers

    def __call__(self, task, model):
        if task != TEST:
            return super().__call__(task, model)
        if not self.answers:
            return None
        answer = FLModelUtils.from_shareable(super().__call__(task, model))
        answer.metrics = {"validation_cases": 1.0}
        return FLModelUtils.to_shareable(answer)


def test_a_final_model_that_no_site_has_evaluated_is_no_success(run):
    sites = {"north": Leaving(answers=False), "south": Leaving(answers=False)}
    record, engine = run(sites)
    assert record.status == "failed"
    assert record.reason == (
        "no site evaluated the final model; north: it had not answered when the round was closed; "
        "south: it had not answered when the round was closed"
    )
    assert panics(engine) == [record.reason]  # its checkpoints stay: it can be resumed
    assert saved(engine) == (3, 3)
    assert determine_outcome(record).kind == "failure"


def test_a_final_model_without_any_score_is_no_success(run):
    record, _ = run({"north": Leaving(answers=True), "south": Leaving(answers=True)})
    assert record.status == "finished"
    outcome = determine_outcome(record)
    assert (outcome.kind, *map(str, outcome.reasons)) == (
        "failure",
        "no hospital sent a score of the final model",
    )


def test_best_and_final_model_are_both_judged_on_test_patients(run):
    """Validation finds round 2 the best; test patients find otherwise, and change nothing."""

    class Disagreeing(Site):
        def __call__(self, task, model):
            self.dice = (lambda w: 0.1 * w) if task == TEST else (lambda w: 0.5 - abs(w - 2) / 10)
            return super().__call__(task, model)

    sites = {"north": Disagreeing(), "south": Disagreeing()}
    record, engine = run(sites)
    assert record.best_round == 2
    assert [value for task, value in sites["north"].seen if task == TEST] == [3, 2]
    for site in sites:
        assert record.final_scores[site]["dice"] == pytest.approx(0.3)
        assert record.best_scores[site]["dice"] == pytest.approx(0.2)
        assert record.rounds[1].scores[site]["dice"] == pytest.approx(0.5)
        assert "hd95" not in record.rounds[2].scores[site]
    assert (saved(engine)[1], saved(engine, "best_model")[1]) == (3, 2)


def test_who_missed_the_last_validation_is_in_the_record(run):
    class Declining(Site):
        def __call__(self, task, model):
            return None if task == VALIDATE else super().__call__(task, model)

    record, _ = run({"north": Site(), "south": Declining(), "west": Site()})
    outcomes = {name: one.outcome for name, one in record.validation_sites.items()}
    assert outcomes == {"north": "evaluated", "south": "no answer", "west": "evaluated"}
    assert record.validation_sites["north"].report.validation_cases
    assert record.final_sites["south"].outcome == "evaluated"
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    (reason,) = outcome.reasons
    assert str(reason).startswith("last validation: south is not part of it")


def test_where_the_final_model_is_the_best_it_is_judged_once(run):
    sites = {"north": Site(), "south": Site()}
    record, _ = run(sites)
    assert [task for task, _ in sites["north"].seen].count(TEST) == 1
    assert record.best_scores == record.final_scores
    assert record.best_sites == {}


def test_without_any_test_patient_the_reason_is_named(run):
    none = {"test_cases": 0}
    record, _ = run({name: Unscored(**none) for name in ("north", "south")})
    assert record.status == "finished"
    (reason,) = determine_outcome(record).reasons
    assert "no hospital has test patients to report on" in str(reason)


class Unscored(Site):
    """Has nobody to test on."""

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if task != TEST:
            return answer
        read = FLModelUtils.from_shareable(answer)
        read.metrics = {"validation_cases": 1.0, "test_cases": 0.0}
        return FLModelUtils.to_shareable(read)
