"""Jobs that can't be resumed, or not by this user or job."""

import pytest

from consilium.federation.message_names import TRAIN
from federation.rehearsal import panics

from .interruption import FIRST, SECOND, THIRD, growing, interrupt, store


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"resume": THIRD}, f"no durable round of job {THIRD}"),
        ({"resume": "../" + FIRST}, "is no job id"),
        ({"resume": FIRST, "user": "somebody else"}, "submitted by another user"),
        ({"resume": FIRST, "study": "other"}, "in another study"),
        ({"resume": FIRST, "learning": {"learning_rate": 0.5}}, "other learning settings (learning_rate)"),
    ],
    ids=["unknown", "a path", "another user's", "another study's", "another model's"],
)
def test_a_job_that_can_t_or_may_not_be_resumed_is_rejected_before_anybody_is_asked(
    run_job, options, reported
):
    interrupt(run_job, FIRST, TRAIN, 2)
    sites = {"north": growing(), "south": growing()}
    record, engine = run_job(SECOND, sites, **options)
    assert record.status == "failed"
    assert reported in panics(engine)[0]
    assert sites["north"].seen == []


@pytest.mark.parametrize("field", ["a_field_of_tomorrow", "best_score"])
def test_rounds_of_another_version_are_rejected(run_job, tmp_path, field):
    interrupt(run_job, FIRST, TRAIN, 2)
    kept = store(tmp_path, FIRST)
    checkpoint, _ = kept.load_last()
    kept.save(2, checkpoint.arrays, {**checkpoint.state, field: None})
    _, engine = run_job(SECOND, resume=FIRST)
    assert "kept by another version" in panics(engine)[0]


def test_a_resumed_job_with_fewer_rounds_than_were_done_is_rejected(run_job):
    run_job(FIRST, rounds=3)
    record, engine = run_job(SECOND, resume=FIRST, rounds=2)
    assert record.status == "failed"
    assert panics(engine) == [
        "the job to resume has done 3 rounds, and this one asks for 2; set rounds to 3 or more"
    ]
