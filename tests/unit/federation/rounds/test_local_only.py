"""The comparison at the end of a job: every site trains a model alone, and says what it gains."""

import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import (
    LOCAL_ONLY,
    PREPARE,
    REASON_HEADER,
    REPORT_META,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.records.outcome import determine_outcome
from federation.rehearsal import Site, rehearse

ROUNDS = 2


@pytest.fixture
def run(tmp_path):
    def run(sites, **settings):
        options = {"rounds": ROUNDS, "min_sites": 1, "local_only": True, **settings}
        return rehearse(tmp_path, sites, **options)[0]

    return run


def test_a_job_asks_for_no_local_only_model_unless_it_says_so(run):
    north = Site()
    record = run({"north": north}, local_only=False)
    assert LOCAL_ONLY not in {task for task, _ in north.seen}
    assert (record.local_only, record.gains) == ({}, {})


def test_sites_that_train_are_asked_at_last_and_compare_with_the_final_model(run):
    north, clinic = Site(step=1.0, alone=0.05), Site(step=None)
    record = run({"north": north, "clinic": clinic})
    assert [task for task, _ in north.seen] == [PREPARE, TRAIN, TRAIN, VALIDATE, TEST, LOCAL_ONLY]
    assert north.seen[-1] == (LOCAL_ONLY, 2.0)
    assert LOCAL_ONLY not in {task for task, _ in clinic.seen}
    assert record.gains.keys() == {"north"}
    gain = record.gains["north"]
    assert (gain.local["dice"], gain.federated["dice"]) == pytest.approx((0.05, 0.2))
    assert gain.gains["dice"].mean == pytest.approx(0.15)
    assert determine_outcome(record).kind == "success"


def test_the_model_before_a_dropped_last_round_is_what_is_compared_with(run):
    dice = {0.0: 0.1, 1.0: 0.8, 2.0: 0.2}
    north, south = (Site(dice=dice.__getitem__) for _ in range(2))
    record = run({"north": north, "south": south}, rollback_margin=0.1)
    assert record.rounds[-1].rolled_back
    assert north.seen[-1] == (LOCAL_ONLY, 1.0)
    assert record.gains["north"].federated["dice"] == pytest.approx(0.8)


class Declining(Site):
    """Declines to train a model alone."""

    def __call__(self, task, model):
        if task == LOCAL_ONLY:
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "the hospital decided so"})
        return super().__call__(task, model)


def test_a_site_that_declines_costs_its_own_comparison_and_nothing_else(run):
    record = run({"north": Site(), "south": Declining()})
    assert record.status == "finished"
    assert record.gains.keys() == {"north"}
    declined = record.local_only["south"]
    assert (declined.outcome, declined.reason) == ("refused", "the hospital decided so")
    assert determine_outcome(record).kind == "success"


class Lying(Site):
    """Says something else about its own model than it measured."""

    def __init__(self, lie, task=LOCAL_ONLY):
        super().__init__()
        self.lie, self.task = lie, task

    def __call__(self, task, model):
        answer = FLModelUtils.from_shareable(super().__call__(task, model))
        if task == self.task:
            report = answer.meta[REPORT_META]
            report.setdefault("gain", self.gain(1.0))
            self.lie(report, answer)
        return FLModelUtils.to_shareable(answer)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda report, answer: report["gain"]["local"].update(dice_tc=0.0), "not the difference"),
        (lambda report, answer: report["gain"]["local"].update(dice_tc=7.0), "lies between 0 and 1"),
        (lambda report, answer: report["gain"].update(patients=2), "more patients"),
        (lambda report, answer: report["gain"].update(patient="Doe-Jane"), "wrong is gain"),
        (lambda report, answer: report.update(gain=[1.0]), "wrong is gain"),
        (lambda report, answer: answer.metrics.update(dice=1.0), "scores without a model"),
    ],
)
def test_a_lie_is_rejected_and_changes_no_other_row_and_no_choice_of_a_model(run, lie, reason):
    honest = run({"north": Site(), "liar": Site()})
    record = run({"north": Site(), "liar": Lying(lie)})
    assert record.local_only["liar"].outcome == "refused"
    assert reason in record.local_only["liar"].reason
    assert record.gains == {"north": honest.gains["north"]}
    assert (record.best_round, record.final_scores) == (honest.best_round, honest.final_scores)


def test_a_comparison_that_nobody_asked_for_is_rejected(run):
    record = run({"north": Site(), "liar": Lying(lambda report, answer: None, task=TRAIN)})
    assert record.rounds[0].sites["liar"].outcome == "refused"
    assert "not requested" in record.rounds[0].sites["liar"].reason


def test_an_abort_ends_it_and_keeps_the_evaluated_model(run):
    abort = Signal()

    class Aborting(Site):
        def __call__(self, task, model):
            if task == LOCAL_ONLY:
                abort.trigger(True)
            return super().__call__(task, model)

    record = run({"north": Aborting(), "south": Site()}, abort=abort)
    assert record.status == "failed"
    assert record.reason.startswith("aborted while the sites trained alone")
    assert record.final_scores.keys() == {"north", "south"}
