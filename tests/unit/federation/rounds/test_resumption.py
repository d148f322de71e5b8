"""A job whose server dies, and the job that goes on from it: the controller, its checkpoints, its record."""

import errno
import json

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import SystemConfigs
from nvflare.apis.job_def import JobMetaKey, new_job_id
from nvflare.apis.signal import Signal
from nvflare.fuel.utils.config_service import ConfigService

from consilium.errors import ConfigurationError
from consilium.federation.message_names import (
    CHECKPOINT_EVENT,
    LOCAL_ONLY,
    PREPARE,
    RESUME_META,
    TRAIN,
    VALIDATE,
)
from consilium.federation.rounds.checkpoints import CHECKPOINTS, CheckpointPlace
from consilium.learning import checkpoints
from consilium.learning.model_file import load_model
from consilium.records.federation import FederationRecord, Resumption
from consilium.records.model_comparison import kept_round
from federation.flare import Engine
from federation.rehearsal import Rehearsal, Site, TwoWeights

FIRST, SECOND, THIRD = (new_job_id() for _ in range(3))
ROUNDS = 4


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours can answer it."""


class Deadly(Site):
    """The server is killed while this site works on a task of a round, counted from 0."""

    def __init__(self, task, index, **site):
        super().__init__(**site)
        self.deadly = (task, index)

    def __call__(self, task, model):
        if (task, model.current_round) == self.deadly:
            raise Killed
        return super().__call__(task, model)


class NoFirstWeights(TwoWeights):
    """A persistor that must not be asked to draw weights."""

    def load_model(self, fl_ctx):
        raise AssertionError("a job that goes on asks for no first weights")


@pytest.fixture(autouse=True)
def place(monkeypatch):
    values = {CHECKPOINTS: {"folder": "kept", "keep": 2}}
    monkeypatch.setitem(ConfigService._sections, SystemConfigs.RESOURCES_CONF, values)
    monkeypatch.setattr(ConfigService, "_var_values", {})
    return values[CHECKPOINTS]


@pytest.fixture
def run(tmp_path):
    def run(
        job_id,
        sites=None,
        *,
        resume=None,
        persistor=TwoWeights,
        learning=None,
        rounds=ROUNDS,
        user="lead",
        study="default",
        rollback_margin=None,
        **screening,
    ):
        sites = sites or {"north": growing(), "south": growing()}
        meta = {JobMetaKey.SUBMITTER_NAME.value: user, JobMetaKey.STUDY.value: study}
        if resume:
            meta[RESUME_META] = resume
        engine = Engine(tmp_path, {"persistor": persistor()}, list(sites), job_id, meta)
        controller = Rehearsal(
            rounds=rounds,
            min_sites=2,
            learning={"task": "brain_tumor", **(learning or {})},
            quorum={"attempts": 1},
            rollback_margin=rollback_margin,
            local_only=True,
            screening=screening,
        )
        controller.sites = sites
        controller.start_controller(engine.context)
        controller.control_flow(Signal(), engine.context)
        return FederationRecord.load(engine.run_folder), engine

    return run


def growing(**site):
    return Site(dice=lambda w: {0: 0.1, 1: 0.4, 2: 0.9, 3: 0.6, 4: 0.5}[round(w)], **site)


def interrupt(run, job_id, task, index, **options):
    sites = {"north": growing(), "south": Deadly(task, index, dice=growing().dice)}
    with pytest.raises(Killed):
        run(job_id, sites, **options)


def store(tmp_path, job_id):
    return CheckpointPlace(folder=tmp_path / "kept").of_job(job_id)


def panics(engine):
    return [data for event, data in engine.events if event == EventType.FATAL_SYSTEM_ERROR]


def model(engine, name):
    return load_model(engine.run_folder / f"{name}.safetensors")


def without_times(record):
    """What a record says about the learning; not how long it took or which jobs did it."""
    content = json.loads(record.model_dump_json(exclude={"resumed", "preparation", "preparation_seconds"}))
    for one in content["rounds"]:
        del one["seconds"]
        for site in one["sites"].values():
            del site["update_norm"]  # a rehearsed site marks its updates, so that none looks like a replay
    return content


@pytest.mark.parametrize(
    ("task", "index", "durable"),
    [(TRAIN, 1, 1), (TRAIN, 3, 3), (VALIDATE, ROUNDS, ROUNDS), (LOCAL_ONLY, ROUNDS, ROUNDS)],
    ids=["early", "late", "while the final model is judged", "while the sites train alone"],
)
def test_a_resumed_job_ends_as_if_nothing_had_been_between(run, tmp_path, task, index, durable):
    undisturbed, its_engine = run(THIRD)
    interrupt(run, FIRST, task, index)
    sites = {"north": growing(), "south": growing()}
    record, engine = run(SECOND, sites, resume=FIRST)
    assert record.resumed == [Resumption(job=FIRST, after_round=durable)]
    assert without_times(record) == without_times(undisturbed)
    for name in ("model", "best_model"):
        (weights, about), (expected, wanted) = model(engine, name), model(its_engine, name)
        np.testing.assert_array_equal(weights["w"], expected["w"])
        assert about == wanted
    trained = [value for task, value in sites["north"].seen if task == TRAIN]
    assert trained == [float(value) for value in range(durable, ROUNDS)]


def test_a_second_interruption_before_the_next_round_loses_nothing_more(run):
    interrupt(run, FIRST, TRAIN, 2)
    interrupt(run, SECOND, PREPARE, 0, resume=FIRST)
    record, engine = run(THIRD, resume=SECOND)
    assert [(one.job, one.after_round) for one in record.resumed] == [(FIRST, 2), (SECOND, 2)]
    assert record.best_round == 2
    assert model(engine, "best_model")[0]["w"][0] == 2


class Scripted(Deadly):
    """Its scores stand in a table, by the value of the model's weights; so does when it is away.

    Steps of 1, 2, 4 and so on tell every model from every other, whichever rounds are dropped.
    """

    def __init__(self, dice, away=(), deadly=None, **site):
        super().__init__(*(deadly or (None, None)), dice=lambda w: dice[round(w)] / 16, **site)
        self.away = away

    def __call__(self, task, model):
        if self.step is not None:
            self.step = 2.0**model.current_round
        answer = super().__call__(task, model)
        return None if model.params and round(self.seen[-1][1]) in self.away else answer


MODELS = 2**ROUNDS
scripts = st.lists(st.integers(0, 16), min_size=MODELS, max_size=MODELS)
absences = st.sets(st.integers(0, MODELS - 1), max_size=MODELS // 2)


@settings(
    max_examples=examples(7), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.tuples(scripts, scripts),
    st.lists(st.tuples(scripts, absences), max_size=3),
    st.sampled_from([None, 0.2]),
    st.sampled_from([*((TRAIN, index) for index in range(1, ROUNDS)), (VALIDATE, ROUNDS)]),
)
def test_for_any_scores_a_resumed_job_selects_and_drops_the_same(run, trainers, clinics, margin, deadly):
    def sites(deadly=None):
        return {
            "north": Scripted(trainers[0]),
            **{f"clinic-{place}": Scripted(*one, step=None, cases=0) for place, one in enumerate(clinics)},
            "south": Scripted(trainers[1], deadly=deadly),
        }

    first, second, third = (new_job_id() for _ in range(3))
    options = {"rollback_margin": margin, "max_norm_ratio": None}
    undisturbed, its_engine = run(third, sites(), **options)
    with pytest.raises(Killed):
        run(first, sites(deadly), **options)
    record, engine = run(second, sites(), resume=first, **options)
    assert without_times(record) == without_times(undisturbed)

    dropped = {one.number for one in record.rounds if one.rolled_back}
    assert record.best_round not in dropped
    assert model(engine, "model")[1]["round"] == str(kept_round(record, ROUNDS))
    kept_best = (engine.run_folder / "best_model.safetensors").exists()
    assert kept_best == (record.best_round is not None)
    for name in ["model", *["best_model"] * kept_best]:
        (weights, about), (expected, wanted) = model(engine, name), model(its_engine, name)
        np.testing.assert_array_equal(weights["w"], expected["w"])
        assert about == wanted
    if kept_best:
        assert model(engine, "best_model")[1]["round"] == str(record.best_round)


def test_a_best_round_whose_checkpoint_is_lost_is_none_any_more(run, tmp_path, caplog):
    """The record never names a best round of which there is no model."""
    interrupt(run, FIRST, VALIDATE, ROUNDS)
    for file in (tmp_path / "kept" / FIRST).glob("round_000002.*"):
        file.unlink()
    record, engine = run(SECOND, resume=FIRST)
    assert "the model of round 2, the best so far, is not among the checkpoints" in caplog.text
    assert record.best_round == 4  # the only one that came up for evaluation since
    assert model(engine, "best_model")[1]["round"] == "4"


class Replaying(Site):
    """Sends the same update again and again."""

    def update(self):
        return {"w": np.full(2, 1.0), "mark": np.full(1, 1e-3)}


def test_what_the_server_knows_of_bad_updates_outlives_it(run):
    def sites(deadly):
        return {"north": Site(), "south": Site(), "east": Replaying(), "west": Deadly(TRAIN, deadly)}

    with pytest.raises(Killed):
        run(FIRST, sites(2))
    with pytest.raises(Killed):
        run(SECOND, sites(3), resume=FIRST)
    record, _ = run(THIRD, sites(None), resume=SECOND, rounds=5)
    assert record.status == "finished"
    outcomes = [one.sites["east"].outcome for one in record.rounds]
    assert outcomes == ["trained", "refused", "refused", "refused", "excluded"]
    assert record.excluded == ["east"]
    assert "the same as its own of round 1" in record.rounds[3].sites["east"].reason


def test_a_job_that_excludes_sooner_than_the_one_it_resumes_counts_no_more_scores_of_the_site(run):
    def sites(deadly=None):
        return {"north": Site(), "south": Site(), "east": Replaying(), "west": Deadly(TRAIN, deadly)}

    with pytest.raises(Killed):
        run(FIRST, sites(3))
    record, _ = run(SECOND, sites(), resume=FIRST, max_refusals=2)
    assert record.rounds[3].sites["east"].outcome == "excluded"
    assert record.excluded == ["east"]


@pytest.mark.parametrize("task", [TRAIN, VALIDATE])
def test_a_round_that_did_harm_is_dropped_by_the_job_that_goes_on_as_well(run, task):
    """The model after round 3 is the worse one; the server dies before anybody has judged it."""
    rounds = 4 if task == TRAIN else 3
    undisturbed, its_engine = run(THIRD, rounds=rounds, rollback_margin=0.2)
    assert undisturbed.rounds[2].rolled_back
    interrupt(run, FIRST, task, 3, rounds=rounds, rollback_margin=0.2)
    record, engine = run(SECOND, resume=FIRST, rounds=rounds, rollback_margin=0.2)
    assert without_times(record) == without_times(undisturbed)
    np.testing.assert_array_equal(model(engine, "model")[0]["w"], model(its_engine, "model")[0]["w"])


def test_the_last_rounds_and_the_best_are_kept(run, tmp_path):
    run(FIRST)
    assert store(tmp_path, FIRST).numbers() == [2, 3, 4]


def test_everybody_hears_of_a_durable_round(run):
    _, engine = run(FIRST)
    told = [data for event, data in engine.events if event == CHECKPOINT_EVENT]
    assert [data["round"] for data in told] == [1, 2, 3, 4]
    assert all(data["seconds"] >= 0 and data["time"] > 0 for data in told)


def test_a_torn_round_is_passed_over(run, tmp_path):
    interrupt(run, FIRST, TRAIN, 3)
    (tmp_path / "kept" / FIRST / "round_000003.json").write_text("{")
    record, _ = run(SECOND, resume=FIRST)
    assert record.status == "finished"
    assert record.resumed[0].after_round == 2


def test_a_full_disk_does_not_stop_the_job(run, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_model", full)
    record, engine = run(FIRST)
    assert record.status == "finished"
    assert not [event for event, _ in engine.events if event == CHECKPOINT_EVENT]
    assert "could not be made durable (No space left on device)" in caplog.text


def test_a_server_that_names_no_place_keeps_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setitem(ConfigService._sections, SystemConfigs.RESOURCES_CONF, {})
    record, _ = run(FIRST)
    assert record.status == "finished"
    assert not (tmp_path / "kept").exists()
    _, engine = run(SECOND, resume=FIRST)
    assert "keeps no checkpoints" in panics(engine)[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"resume": THIRD}, f"no durable round of job {THIRD}"),
        ({"resume": "../" + FIRST}, "is no job id"),
        ({"resume": FIRST, "user": "somebody else"}, "submitted by another user"),
        ({"resume": FIRST, "study": "other"}, "in another study"),
        ({"resume": FIRST, "learning": {"learning_rate": 0.5}}, "other learning settings (learning_rate)"),
    ],
    ids=["unknown", "a path", "another user's", "another study's", "another model's"],
)
def test_a_job_that_can_t_or_may_not_be_resumed_is_refused_before_anybody_is_asked(run, options, told):
    interrupt(run, FIRST, TRAIN, 2)
    sites = {"north": growing(), "south": growing()}
    record, engine = run(SECOND, sites, **options)
    assert record.status == "failed"
    assert told in panics(engine)[0]
    assert sites["north"].seen == []


@pytest.mark.parametrize("field", ["a_field_of_tomorrow", "best_score"])
def test_rounds_of_another_version_are_refused(run, tmp_path, field):
    interrupt(run, FIRST, TRAIN, 2)
    kept = store(tmp_path, FIRST)
    checkpoint, _ = kept.load_last()
    kept.save(2, checkpoint.arrays, {**checkpoint.state, field: None})
    _, engine = run(SECOND, resume=FIRST)
    assert "kept by another version" in panics(engine)[0]


def test_a_resumed_job_may_train_for_more_rounds(run):
    run(FIRST, rounds=2)
    record, engine = run(SECOND, resume=FIRST, rounds=4)
    assert (record.rounds_planned, len(record.rounds)) == (4, 4)
    assert model(engine, "model")[0]["w"][0] == 4


def test_a_resumed_job_with_fewer_rounds_than_were_done_is_refused(run):
    run(FIRST, rounds=3)
    record, engine = run(SECOND, resume=FIRST, rounds=2)
    assert record.status == "failed"
    assert panics(engine) == [
        "the job to resume has done 3 rounds, and this one asks for 2; set rounds to 3 or more"
    ]


def test_a_place_that_can_t_be_used_is_named(run, place):
    place["kep"] = 1
    with pytest.raises(ConfigurationError, match="keep"):
        CheckpointPlace.parse(place, source="local/resources.json")


def test_a_job_that_goes_on_draws_no_first_weights(run):
    interrupt(run, FIRST, TRAIN, 2)
    record, _ = run(SECOND, resume=FIRST, persistor=NoFirstWeights)
    assert record.status == "finished"
