"""Jobs that are aborted while sites prepare, train, evaluate, or in between."""

import pytest
from nvflare.apis.signal import Signal
from nvflare.app_common.app_event_type import AppEventType

from consilium.federation.message_names import (
    PREPARE,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.records.outcome import determine_outcome
from federation.rehearsal import Rehearsal, Site, panics, saved
from federation.troubled_sites import Aborting, Recovering


def test_an_aborted_job_says_so_and_asks_nobody(run):
    abort, north = Signal(), Site()
    abort.trigger(True)
    record, _ = run({"north": north, "south": Site()}, abort=abort)
    assert (record.status, record.reason) == ("failed", "aborted while the sites prepared")
    assert north.seen == []


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(
    ("task", "index", "when", "kept"),
    [
        (PREPARE, 0, "while the sites prepared", None),
        (TRAIN, 0, "in round 1", None),
        (TRAIN, 1, "in round 2", (1, 1)),
        (TRAIN, 2, "in round 3", (2, 2)),
        (VALIDATE, 3, "in the final validation", (3, 3)),
        (TEST, 3, "while its models were evaluated on test patients", (3, 3)),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_an_aborted_job_is_recorded_as_aborted_and_when(run, task, index, when, kept, last):
    """Whether the site is the last that answers, or others have still to."""
    abort = Signal()
    aborting = Aborting(abort, task, index)
    sites = {"north": Site(), "east": aborting} if last else {"east": aborting, "north": Site()}
    record, engine = run(sites, abort=abort)
    assert (record.status, record.reason) == ("failed", f"aborted {when}")
    assert determine_outcome(record).kind == "failure"
    assert str(determine_outcome(record).reasons[0]) == f"aborted {when}"
    assert (record.final_scores, record.final_sites) == ({}, {})
    assert not panics(engine)
    assert (saved(engine) if kept else (engine.run_folder / "model.safetensors").exists()) == (kept or False)


@pytest.mark.parametrize(("after", "when"), [(1, "before round 2"), (3, "in the final validation")])
def test_a_job_aborted_between_two_tasks_keeps_the_round_that_counted(run, after, when):
    abort, done = Signal(), []

    def abort_after(engine, controller, event, data):
        if event == AppEventType.ROUND_DONE:
            done.append(event)
            if len(done) == after:
                abort.trigger(True)

    record, engine = run({"north": Site(), "south": Site()}, abort=abort, on_event=abort_after)
    assert (record.status, record.reason) == ("failed", f"aborted {when}")
    assert saved(engine) == (after, after)


def test_a_job_aborted_in_the_pause_between_attempts_is_not_tried_again(run, monkeypatch):
    abort, north = Signal(), Site()
    monkeypatch.setattr(Rehearsal, "pause", lambda self, seconds: abort.trigger(True))
    record, engine = run({"north": north, "south": Recovering(5)}, quorum={"attempts": 3}, abort=abort)
    assert (record.status, record.reason) == ("failed", "aborted in round 1")
    assert [task for task, _ in north.seen] == [PREPARE, TRAIN]
    assert [event for event, _ in engine.events].count(AppEventType.ROUND_STARTED) == 1
    assert not panics(engine)


def test_a_fault_elsewhere_in_the_server_s_process_stands_in_the_record(run):
    """FLARE aborts the job when any component says that it can't continue."""
    abort = Signal()

    def fail(engine, controller, event, data):
        if event == AppEventType.ROUND_DONE:
            controller.system_panic("the disk is gone", engine.context)

    sites = {"north": Site(), "south": Aborting(abort, VALIDATE, 1)}
    record, _ = run(sites, rounds=1, abort=abort, on_event=fail)
    assert record.reason == "aborted in the final validation: the disk is gone"


def test_an_abort_in_the_test_of_a_restored_model_is_recorded(run):
    """Validation dropped the last round's model; nobody may take what is left for a finished job."""
    abort, asked = Signal(), []

    class Aborting(Site):
        def __call__(self, task, model):
            asked.extend([task] * (task in (VALIDATE, TEST)))
            if len(asked) == 2:
                abort.trigger(True)
            return super().__call__(task, model)

    sites = {name: kind(dice=lambda w: 0.9 - w / 2) for name, kind in (("north", Site), ("south", Aborting))}
    record, engine = run(sites, rounds=1, abort=abort, rollback_margin=0.1)
    assert (record.status, record.reason) == (
        "failed",
        "aborted while its models were evaluated on test patients",
    )
    assert (record.final_scores, record.final_sites) == ({}, {})
    assert saved(engine) == (0, 0)
