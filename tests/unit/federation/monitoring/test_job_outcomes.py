import json

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, SystemComponents

from consilium.federation.message_names import OUTCOME_META
from consilium.federation.monitoring.job_outcomes import JobOutcomes, save_outcome
from consilium.records.progress import Ended, EndReason, JobProgress
from federation.flare import JOB_ID, Engine


class Jobs:
    """FLARE's store of jobs, as far as it keeps what is said about them."""

    def __init__(self):
        self.meta = {}

    def update_meta(self, job_id, meta, fl_ctx):
        self.meta.setdefault(job_id, {}).update(json.loads(json.dumps(meta)))

    def handle_event(self, event_type, fl_ctx):
        """Hear nothing."""


@pytest.fixture
def jobs():
    return Jobs()


@pytest.fixture
def engine(tmp_path, jobs):
    return Engine(tmp_path, {"job_outcomes": JobOutcomes(), SystemComponents.JOB_MANAGER: jobs})


def complete(engine):
    context = engine.new_context()
    context.set_prop(FLContextKey.EVENT_DATA, {"job_id": JOB_ID}, private=True, sticky=False)
    engine.fire_event(EventType.JOB_COMPLETED, context)


def ended(count):
    reasons = [
        EndReason(text=f"round {number}: birch is not part of it: no answer")
        for number in range(1, count + 1)
    ]
    return JobProgress(started=0.0, ended=Ended(kind="partial", reasons=reasons, time=1000.0))


def test_the_outcome_gets_into_the_job_s_meta_data(engine, jobs):
    save_outcome(engine.context, ended(2))
    complete(engine)
    kept = Ended.model_validate(jobs.meta[JOB_ID][OUTCOME_META])
    assert (kept.kind, len(kept.reasons), kept.time) == ("partial", 2, 1000.0)
    jobs.meta.clear()
    complete(engine)
    assert jobs.meta == {}


def test_a_hundred_reasons_are_cut_to_ten_and_a_count(engine, jobs):
    save_outcome(engine.context, ended(100))
    complete(engine)
    reasons = jobs.meta[JOB_ID][OUTCOME_META]["reasons"]
    assert len(reasons) == 11
    assert "90 more" in reasons[-1]["text"]


def test_a_job_whose_process_was_killed_has_none(engine, jobs):
    complete(engine)
    assert jobs.meta == {}


def test_a_torn_file_is_no_outcome(engine, jobs, tmp_path):
    save_outcome(engine.context, ended(1))
    (file,) = (tmp_path / "consilium/outcomes").iterdir()
    file.write_text(file.read_text()[:20])
    complete(engine)
    assert jobs.meta == {}
