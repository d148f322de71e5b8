"""Answers that are wrong at one place, each with the reason of its rejection."""

import numpy as np
import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.shareable import Shareable

from consilium.federation.exchange.answer_form import Absence
from consilium.federation.message_names import PREPARE, TRAIN
from consilium.federation.monitoring.job_events import ANSWER_REFUSED
from consilium.federation.transport.message_checks import BROKEN_ANSWER
from consilium.learning.model_file import load_model
from consilium.report.training.summary import summarize_study
from federation.flare import Engine
from federation.rehearsal import Rehearsal, Site, TwoWeights

from .lies import HONEST, ROUNDS, check

REFUSED = [
    ("report train_cases", 10**15, "wrong is train_cases"),
    ("report train_cases", True, "wrong is train_cases"),
    ("report task_seconds", float("inf"), "wrong is task_seconds"),
    ("report steps", float("nan"), "wrong is steps"),
    ("report loss", np.zeros(3), "wrong is loss"),
    ("report left_out", {f"code{index}": 1 for index in range(5000)}, "wrong is left_out"),
    ("report versions", {f"name{index}": "1" for index in range(5000)}, "wrong is versions"),
    ("report note", "\x1b[2J", "wrong is an unknown field"),
    ("metrics dice_tc", 100.0, "dice_tc is 100; it lies between 0 and 1"),
    ("metrics dice_tc", [0.5], "dice_tc is no number"),
    ("another metric", "other", "0 of 3 scores are missing and 1 are unknown"),
    ("the metrics", {"dice": 0.5}, "3 of 3 scores are missing"),
    ("the metrics", {f"x{index}": 0.5 for index in range(5000)}, "it sent 5000 scores"),
    ("the metrics", [0.5], "its answer can't be read"),
    ("params w", np.ones(2, np.float32), "w holds float32 values, not float64"),
    ("params w", np.ones(2, ">f8"), "w holds >f8 values, not float64"),
    ("params w", np.ones(()), "w has shape (), not (2,)"),
    ("params w", np.array(["a", None], dtype=object), "something else than arrays of numbers"),
    ("params w", [1.0, 1.0], "something else than arrays of numbers"),
    ("params w", np.full(2, 1e200), "too large to add up"),
    ("another weight", "x" * 100_000, "not arrays by name"),
    ("dxo data", {}, "not arrays by name"),
    ("dxo kind", "WEIGHTS", "it sent weights, and not the difference"),
    ("dxo kind", "COLLECTION", "it sent weights, and not the difference"),
    ("dxo kind", ["x"], "its answer can't be read"),
    ("dxo meta", {}, "it has no report"),
    ("dxo meta", None, "it has no report"),
    ("the whole DXO", None, "its answer can't be read"),
    ("the whole answer", Shareable(), "its answer can't be read"),
    ("the whole answer", [1], "no message of FLARE's"),
    ("all headers", [1], "it has no headers"),
    ("its round", "1", "its answer can't be read"),
    ("its round", 7, "of another round"),
    ("the return code", "NONSENSE", "a return code that FLARE doesn't know"),
    ("the return code", ["x"], "a return code that FLARE doesn't know"),
]


@pytest.mark.quick_cases(8)
@pytest.mark.parametrize(("place", "value", "reported"), REFUSED)
def test_what_is_wrong_is_rejected_with_a_reason_and_its_site_excluded(tmp_path, place, value, reported):
    record, outcomes = check(tmp_path, place, value)
    assert outcomes == ["refused"] * 3 + ["excluded"]
    assert reported in record.rounds[0].sites["liar"].reason
    weights, _ = load_model(tmp_path / "a-job" / "model.safetensors")
    assert weights["w"] == pytest.approx(ROUNDS)


def test_a_reason_of_a_site_is_cleaned_and_shortened_and_not_counted(tmp_path):
    record, outcomes = check(tmp_path, "the reason", "no\x1b[2J\n" + "x" * 100_000)
    assert outcomes == ["refused"] * 4
    reason = record.rounds[0].sites["liar"].reason
    assert reason.startswith("no[2J xxx")
    assert len(reason) == 400


def test_a_site_that_says_who_it_is_stays_who_it_is(tmp_path):
    record, outcomes = check(tmp_path, "client_name", "north")
    assert outcomes == ["trained"] * 4
    assert record.rounds[0].scores.keys() == {"liar", *HONEST}
    assert (tmp_path / "a-job/tb_events/liar").is_dir()


def test_a_site_that_keeps_its_scores_to_itself_takes_part(tmp_path):
    record, outcomes = check(tmp_path, "the metrics", {})
    assert outcomes == ["trained"] * 4
    assert record.rounds[0].scores.keys() == set(HONEST)


def test_the_largest_possible_claim_gets_half_of_the_mean(tmp_path):
    record, outcomes = check(tmp_path, "report train_cases", 10**6, (PREPARE, TRAIN))
    assert outcomes == ["trained"] * 4
    assert [one.sites["liar"].weight for one in record.rounds] == [0.5] * 4
    warnings = summarize_study(record, baselines=None, seconds={}).warnings
    assert any(
        one.startswith("liar reports up to 100% of the training cases in every round; its share was")
        for one in warnings
    )


def test_a_wrong_answer_of_the_preparation_counts_as_well(tmp_path):
    record, outcomes = check(tmp_path, "report train_cases", 10**15, (PREPARE, TRAIN))
    assert record.preparation["liar"].outcome == "refused"
    assert outcomes == ["refused", "refused", "excluded", "excluded"]


class Breaking(Site):
    """Sends what is no message of FLARE's: nothing of it reaches the controller but that it came."""

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if task != TRAIN:
            return answer
        context = self.engine.new_context()
        said = {"site": "liar", "reason": "its answer can't be read: it has no headers"}
        context.set_prop(FLContextKey.EVENT_DATA, said, private=True, sticky=False)
        self.engine.fire_event(BROKEN_ANSWER, context)
        self.engine.fire_event(BROKEN_ANSWER, context)  # counts once for each time that it was asked
        return None


def test_an_answer_that_is_no_message_is_rejected_and_counted_once(run):
    liar = Breaking()
    sites = {"liar": liar, **{site: Site() for site in HONEST}}

    def hand_engine(engine, *_):
        liar.engine = engine

    record, _ = run(sites, rounds=ROUNDS, local_only=True, on_event=hand_engine)
    assert [one.sites["liar"].outcome for one in record.rounds] == ["refused"] * 3 + ["excluded"]
    assert record.rounds[0].sites["liar"].reason == "its answer can't be read: it has no headers"


@pytest.mark.parametrize("reason", ["no\x1b[2J\nforged", "x" * 100_000])
def test_a_rejection_is_announced_with_a_clean_and_short_reason(tmp_path, caplog, reason):
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, HONEST)
    controller = Rehearsal(rounds=1, min_sites=1)
    controller.start_controller(engine.context)
    with caplog.at_level("WARNING"):
        assert controller.set_aside("north", Absence(reason)) is False
    ((_, heard),) = [event for event in engine.events if event[0] == ANSWER_REFUSED]
    assert heard["reason"].isprintable()
    assert len(heard["reason"]) <= 400
    assert all(record.getMessage().isprintable() for record in caplog.records)
