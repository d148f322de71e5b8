"""Training at a site with few patients: scores, losses and weights that are kept back."""

import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.job_def import new_job_id

from consilium.federation.message_names import (
    PREPARE,
    REASON_HEADER,
    SITE_STATE_EVENT,
    TRAIN,
    VALIDATE,
)
from consilium.federation.site import state
from consilium.federation.site.executor import SiteExecutor
from consilium.participant import site_data
from consilium.records.site_status import read_site_status
from consilium.report.status.site import describe_site
from federation.flare import Engine

from .answers import answer_of, at_site, execute, request


def test_a_training_site_with_few_validation_patients_keeps_its_scores(engine, tmp_path):
    executor = SiteExecutor(LEARNING.model_copy(update={"local_steps": 4}).model_dump(mode="json"))
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"])
    site_data.prepare_site(settings, LEARNING)  # the hospital has split its patients, and asks for more since
    at_site(engine, settings.model_copy(update={"min_training_patients": 3}))
    executor.handle_event(EventType.START_RUN, engine.context)
    model, report = answer_of(execute(executor, engine, TRAIN))
    assert model.params
    assert model.metrics == {"test_cases": 0.0}
    assert (report.train_cases, report.validation_cases) == (3, None)
    model, report = answer_of(execute(executor, engine, VALIDATE))
    assert (model.params, model.metrics, report.validation_cases) == (None, {"test_cases": 0.0}, None)
    sent = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    assert not [one for one in sent if one["state"] == "validating"]
    (status,) = read_site_status(engine.workspace.get_root_dir())
    assert status.held_back == 2
    assert any("2 held back" in line for line in describe_site(status))


def test_no_message_of_a_round_holds_the_loss_of_few_patients(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_SHORTEST_PAUSE", 0.0)  # every step is reported
    monkeypatch.setattr(state, "_SHARE", 0.0)
    executor = SiteExecutor(LEARNING.model_copy(update={"local_steps": 8}).model_dump(mode="json"))
    at_site(engine, site(tmp_path, ["P1", "P2", "P3"], min_training_patients=3))
    _, report = answer_of(execute(executor, engine, TRAIN))
    sent = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    losses = [one["loss"] for one in sent if one["state"] == "training"]
    assert len(losses) == 8
    assert losses[:2] == [None, None]
    assert losses[2:] == [losses[2]] * 3 + [losses[5]] * 3  # three patients each, one a step
    assert report.loss == losses[-1]


def test_a_site_of_two_patients_sends_an_update_without_loss_and_scores(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_SHORTEST_PAUSE", 0.0)
    monkeypatch.setattr(state, "_SHARE", 0.0)
    executor = SiteExecutor(LEARNING.model_copy(update={"local_steps": 4}).model_dump(mode="json"))
    at_site(engine, site(tmp_path, ["P1", "P2"], min_training_patients=3, min_update_patients=2))
    model, report = answer_of(execute(executor, engine, TRAIN))
    assert model.params
    assert model.metrics == {"validation_cases": 0.0, "test_cases": 0.0}
    assert (report.train_cases, report.steps, report.loss) == (2, 4, None)
    sent = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    assert {one["loss"] for one in sent if one["state"] == "training"} == {None}


@pytest.mark.long
def test_two_jobs_that_differ_by_a_step_share_no_patch(tmp_path, monkeypatch):
    """Were they drawn by the job's seed, the updates of the two would differ by one patient's patch."""
    monkeypatch.setattr(state, "_SHORTEST_PAUSE", 0.0)
    monkeypatch.setattr(state, "_SHARE", 0.0)
    settings = site(tmp_path, [f"P{number}" for number in range(12)], split_salt=None)
    jobs = [new_job_id() for _ in range(2)]

    def losses(job, steps):
        """The losses of a round's steps, each of one patch, with the same first weights and rates."""
        engine = Engine(tmp_path / f"{job}{steps}", job_id=job)
        at_site(engine, settings)
        learning = LEARNING.model_copy(update={"local_steps": steps, "learning_rate": 1e-7})
        executor = SiteExecutor(learning.model_dump(mode="json"))
        answer_of(execute(executor, engine, TRAIN, request(0, run=job)))
        sent = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
        return [one["loss"] for one in sent if one["state"] == "training"]

    first = losses(jobs[0], 3)
    assert losses(jobs[0], 3) == first  # a round that is repeated
    assert losses(jobs[0], 4)[0] != first[0]
    assert losses(jobs[1], 3)[0] != first[0]


def test_a_round_that_showed_few_patients_leaves_nothing_behind(tmp_path):
    engine = Engine(tmp_path / "workspace", job_id=(job := new_job_id()))
    learning = LEARNING.model_copy(update={"local_steps": 4})
    executor = SiteExecutor(learning.model_dump(mode="json"))
    settings = site(tmp_path, ["P1", "P2", "P3"], min_training_patients=3)
    at_site(engine, settings)
    answer_of(execute(executor, engine, PREPARE, request(0, run=job)))
    lost = site_data.prepare_site(settings, learning).train[0]
    (lost.folder / "image.npy").unlink()
    lost.origin.case.images["t1"].path.unlink()
    reply = execute(executor, engine, TRAIN, request(0, run=job))
    assert "showed the network fewer than 3 patients" in reply.get_header(REASON_HEADER)
    assert not list((settings.cache_dir / "runs" / job).glob("round_*"))
