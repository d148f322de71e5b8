"""Final models of which there are no scores."""

from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import (
    VALIDATE,
)
from consilium.records.outcome import determine_outcome
from federation.rehearsal import Site, panics, saved


class Leaving(Site):
    """Is lost before the final validation, or answers it without scores."""

    def __init__(self, *, answers):
        super().__init__()
        self.answers = answers

    def __call__(self, task, model):
        if task != VALIDATE:
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
