"""Sites that answer after their round was closed, and the deadline of a job."""

import pytest
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import (
    TRAIN,
)
from federation.flare import JOB_ID
from federation.rehearsal import ONE_ATTEMPT, Rehearsal, Site, saved
from federation.troubled_sites import Refusing


class SlowRehearsal(Rehearsal):
    """Some sites answer only after their round was closed."""

    late = ("slow", "sick")

    def broadcast(self, task, fl_ctx, targets=None, min_responses=1, wait_time_after_min_received=0):
        slow = [name for name in targets if name in self.late and task.name == TRAIN]
        super().broadcast(task, fl_ctx, [name for name in targets if name not in slow])
        self.standing = bool(slow)
        self.pending = [
            (task, name, self.sites[name](task.name, FLModelUtils.from_shareable(task.data))) for name in slow
        ]

    def get_num_standing_tasks(self):
        return int(self.standing)

    def cancel_all_tasks(self, *args, **options):
        self.standing = False

    def answer_late(self):
        for task, name, result in self.pending:
            client_task = ClientTask(Client(name, "token"), task)
            client_task.result = result
            self._process_result(client_task, self.fl_ctx)


@pytest.mark.parametrize(
    "rule",
    [{"deadline_minutes": 0.002}, {"grace_minutes": 0.0}, {"grace_minutes": 0.0, "deadline_minutes": 60}],
)
def test_a_round_does_not_wait_for_a_slow_site_for_ever(run, rule):
    sites = {"north": Site(), "south": Site(), "slow": Site(step=100.0)}
    record, engine = run(sites, rounds=1, controller=SlowRehearsal, quorum={**ONE_ATTEMPT, **rule})
    assert record.status == "finished"
    assert record.rounds[0].sites["slow"].outcome == "no answer"
    assert "when the round was closed" in record.rounds[0].sites["slow"].reason
    assert record.final_sites["slow"].outcome == "evaluated"  # it is asked again
    assert saved(engine)[0] == 1


def test_a_job_ends_at_its_deadline_and_says_how_to_resume_it(run):
    sites = {"north": Site(), "south": Site(), "slow": Site(step=100.0)}
    record, engine = run(sites, controller=SlowRehearsal, deadline_hours=0.3 / 3600)
    assert record.status == "failed"
    assert record.reason.startswith("its deadline, deadline_hours of ")
    assert "passed before round 2" in record.reason
    assert f"submit it again with resume={JOB_ID}" in record.reason
    assert len(record.rounds) == 1
    assert saved(engine)[0] == 1  # the round that was done is kept


def test_an_answer_that_comes_too_late_changes_nothing(run):
    sites = {"north": Site(), "south": Site(), "slow": Site(step=100.0), "sick": Refusing([0])}
    answered = []

    def answer_late(engine, controller, event, data):
        if event == AppEventType.ROUND_DONE and not answered:
            answered.append(controller.answer_late())

    quorum = {**ONE_ATTEMPT, "grace_minutes": 0.0}
    record, engine = run(sites, rounds=1, controller=SlowRehearsal, on_event=answer_late, quorum=quorum)
    assert answered
    assert record.rounds[0].sites["slow"].outcome == "no answer"
    assert record.rounds[0].sites["sick"].outcome == "no answer"
    assert saved(engine)[0] == 1
