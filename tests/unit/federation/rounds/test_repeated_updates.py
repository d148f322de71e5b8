"""Updates that repeat another site's of the round, or the site's own of an earlier one."""

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply

from consilium.errors import RefusalCode
from consilium.federation.message_names import (
    REASON_HEADER,
    TRAIN,
)
from federation.rehearsal import Site, outcomes


class Same(Site):
    """Sends in each round what the other hospital of its kind sends: they hold the same patient."""

    def update(self):
        return {"w": np.full(2, 1.0 + len(self.seen)), "mark": np.zeros(1)}


def test_a_repeated_update_is_not_waited_for_in_vain(run):
    """The same seed gives the same update: without another site, no attempt can have a quorum."""
    north, south = Same(), Same()
    record, _ = run({"north": north, "south": south}, quorum={"attempts": 5, "backoff_seconds": 3600})
    assert record.status == "failed"
    assert "south: its update is rejected: it is the same as another site's of this round" in record.reason
    assert record.reason.endswith("another attempt would give the same")
    assert [task for task, _ in north.seen].count(TRAIN) == 1
    assert record.rounds[0].sites["south"].code is RefusalCode.REPEATED_UPDATE


def test_a_round_continues_without_a_repeated_update(run):
    record, _ = run({"north": Same(), "south": Same(), "east": Site()}, rounds=2)
    assert record.status == "finished"
    assert outcomes(record, "north") == outcomes(record, "east") == ["trained"] * 2


@pytest.mark.parametrize(("clinic", "attempts"), [(False, 2), (True, 2)])
def test_a_round_is_tried_again_while_a_site_may_come_back(run, clinic, attempts):
    """A site that only evaluates makes no quorum, and one that failed for now may."""

    class Failing(Site):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            refused = task == TRAIN and len(self.seen) <= 2
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "full"}) if refused else answer

    sites = {"north": Same(), "south": Same(), "east": Failing()}
    if clinic:
        sites["clinic"] = Site(step=None, cases=0)
    record, _ = run(sites, rounds=1, quorum={"attempts": 3, "backoff_seconds": 0})
    assert record.status == "finished"
    assert record.rounds[0].attempts == attempts


def test_a_site_that_only_evaluates_is_no_reason_to_try_again(run):
    north = Same()
    sites = {"north": north, "south": Same(), "clinic": Site(step=None, cases=0)}
    record, _ = run(sites, quorum={"attempts": 5, "backoff_seconds": 3600})
    assert record.status == "failed"
    assert [task for task, _ in north.seen].count(TRAIN) == 1


def test_a_replayed_update_is_rejected(run):
    class Replaying(Site):
        def update(self):
            return {"w": np.full(2, 1.0), "mark": np.zeros(1)}

    record, _ = run({"east": Replaying(), "north": Site(), "south": Site()})
    assert outcomes(record, "east") == ["trained", "refused", "refused"]
    assert "the same as its own of round 1" in record.rounds[2].sites["east"].reason
