"""Answers that are rejected, and sites that are excluded for them."""

import numpy as np
import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

from consilium.errors import RefusalCode
from consilium.federation.message_names import (
    CODE_HEADER,
    LEFT_OUT_HEADER,
    PREPARE,
    REASON_HEADER,
    REFUSAL_HEADER,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.updates import spool
from federation.rehearsal import Site, outcomes, saved
from federation.troubled_sites import Attacker


def test_a_refusal_s_kind_and_counts_are_kept_as_far_as_they_are_within_bounds(run):
    def declining(code, left_out):
        headers = {REASON_HEADER: "too many", CODE_HEADER: code, LEFT_OUT_HEADER: left_out}
        return lambda task, model: make_reply(ReturnCode.EXECUTION_EXCEPTION, headers)

    east = declining("left_out", {"truncated": 3, "not_3d": None, "x" * 999: 2})
    west = declining("<b>", {"truncated": -1})
    record, _ = run({"north": Site(), "south": Site(), "east": east, "west": west}, rounds=1)
    for one in (record.preparation, record.rounds[0].sites, record.final_sites):
        assert one["east"].code is RefusalCode.LEFT_OUT
        assert one["east"].left_out == {"truncated": 3, "not_3d": None, "other": 2}
        assert (one["west"].code, one["west"].left_out) == (RefusalCode.DECLINED, {})


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 100.0, -0.1])
def test_scores_that_can_t_be_are_set_aside_with_the_site(run, broken):
    east = Site(step=100.0, dice=lambda w: broken)
    record, engine = run({"north": Site(), "south": Site(), "east": east})
    assert record.rounds[0].sites["east"].outcome == "refused"
    assert "its scores can't be used: dice_tc is" in record.rounds[0].sites["east"].reason
    assert "east" not in record.final_scores
    assert saved(engine)[0] == 3
    assert record.best_round == 3


@pytest.mark.parametrize(
    ("evil", "reported"),
    [
        (Site(step=float("nan")), "w is not finite"),
        (Site(cases=0), "0 training cases"),
        (Site(cases=-5), "report can't be read"),
        (Site(patient="Doe-Jane"), "report can't be read"),
    ],
)
def test_an_update_or_report_that_can_t_be_used_is_left_out_with_a_reason(run, evil, reported):
    record, engine = run({"north": Site(), "south": Site(), "evil": evil})
    assert record.status == "finished"
    assert record.rounds[0].sites["evil"].outcome == "refused"
    assert reported in record.rounds[0].sites["evil"].reason
    assert saved(engine)[0] == 3


def test_an_update_of_another_round_is_not_taken(run):
    class Replaying(Site):
        def __call__(self, task, model):
            model.current_round = 0
            return super().__call__(task, model)

    record, engine = run({"north": Site(), "south": Site(), "east": Replaying(step=4.0)}, rounds=2)
    assert [one.sites["east"].outcome for one in record.rounds] == ["trained", "refused"]
    assert "of another round" in record.rounds[1].sites["east"].reason
    assert saved(engine)[0] == pytest.approx(2 + 1)


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("factor", [10, 1000, -10, float("nan"), 0])
@pytest.mark.parametrize("honest", [1, 2, 5])
def test_bad_updates_are_left_out_and_their_site_is_excluded_in_the_end(run, factor, honest):
    evil, sites = Attacker(factor), {f"site-{index}": Site() for index in range(honest)}
    record, engine = run({"evil": evil, **sites}, rounds=5, min_sites=honest)
    assert record.status == "finished"
    assert saved(engine)[0] == 5
    assert outcomes(record, "evil") == ["refused"] * 3 + ["excluded"] * 2
    assert record.rounds[0].sites["evil"].reason.startswith("its update is rejected: ")
    last = record.rounds[2].sites["evil"].reason
    reported = f"excluded from training after 3 rejected answers in a row, the last: {last}"
    assert record.rounds[4].sites["evil"].reason == reported
    # It still learns how good the final model is at its place; what it says has no part in choosing a model.
    assert [task for task, _ in evil.seen] == [PREPARE, TRAIN, TRAIN, TRAIN, VALIDATE, TEST]
    assert record.final_sites["evil"].outcome == "evaluated"


def test_a_rejected_update_is_kept_in_the_record_with_its_counts(run):
    record, _ = run({"evil": Attacker(10), "north": Site(), "south": Site()}, rounds=1)
    refused = record.rounds[0].sites["evil"]
    assert refused.update_norm == pytest.approx(10 * np.sqrt(2))
    assert refused.report.train_cases == 1
    assert refused.weight == 0
    assert record.excluded == []  # only after three in a row


def test_a_site_that_is_rejected_now_and_then_stays(run):
    clumsy = Attacker(10, rounds=[0, 1, 3, 4])
    record, _ = run({"clumsy": clumsy, "north": Site(), "south": Site()}, rounds=6)
    assert outcomes(record, "clumsy") == ["refused", "refused", "trained", "refused", "refused", "trained"]


def test_a_site_that_only_evaluates_is_not_excluded_for_rejections_that_are_not_in_a_row(run):
    clinic = Site(step=None, cases=0, dice=lambda w: float("nan") if w % 2 else 0.5)
    record, _ = run({"clinic": clinic, "north": Site(), "south": Site()}, rounds=8)
    assert outcomes(record, "clinic") == ["evaluated", "refused"] * 4


def test_training_cases_that_grow_after_the_preparation_are_rejected(run):
    class Growing(Site):
        def __call__(self, task, model):
            self.cases = 1000 if task == TRAIN else 1
            return super().__call__(task, model)

    record, _ = run({"evil": Growing(), "north": Site(), "south": Site()}, rounds=1)
    assert "1000 training cases, and the site had prepared 1" in record.rounds[0].sites["evil"].reason


def task_for(site, controller):
    context, peer, task = FLContext(), FLContext(), Shareable()
    peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
    context.set_peer_context(peer)
    context.set_prop(FLContextKey.TASK_DATA, task, private=True, sticky=False)
    controller.handle_event(EventType.AFTER_TASK_DATA_FILTER, context)
    return task


def test_a_task_states_what_was_wrong_with_its_site_s_last_answer(run):
    record, engine = run({"evil": Attacker(10), "north": Site(), "south": Site()}, rounds=1)
    controller = engine.components["training"]
    assert task_for("evil", controller).get_header(REFUSAL_HEADER) == record.rounds[0].sites["evil"].reason
    assert task_for("north", controller).get_header(REFUSAL_HEADER) is None


def test_a_full_disk_at_the_server_is_not_the_site_s_fault(run, monkeypatch):
    save, calls = spool.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) % 3 == 1:
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(spool, "save_file", full)
    record, _ = run({"east": Site(), "north": Site(), "south": Site()}, rounds=4)
    assert record.status == "finished"
    assert outcomes(record, "east") == ["refused"] * 4  # never excluded
    assert record.rounds[3].sites["east"].reason == (
        "the server could not keep its update: No space left on device"
    )
