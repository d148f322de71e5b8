"""A job whose server dies, and the job that resumes it."""

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nvflare.apis.job_def import new_job_id

from consilium.federation.message_names import LOCAL_ONLY, PREPARE, TRAIN, VALIDATE
from consilium.records.federation import Resumption
from consilium.records.model_comparison import kept_round
from federation.rehearsal import Site, TwoWeights

from .interruption import (
    FIRST,
    ROUNDS,
    SECOND,
    THIRD,
    Deadly,
    Killed,
    growing,
    interrupt,
    model,
    without_times,
)


class NoFirstWeights(TwoWeights):
    """A persistor that must not be asked to draw weights."""

    def load_model(self, fl_ctx):
        raise AssertionError("a resumed job asks for no first weights")


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("task", "index", "durable"),
    [(TRAIN, 1, 1), (TRAIN, 3, 3), (VALIDATE, ROUNDS, ROUNDS), (LOCAL_ONLY, ROUNDS, ROUNDS)],
    ids=["early", "late", "while the final model is evaluated", "while the sites train alone"],
)
def test_a_resumed_job_ends_as_if_nothing_had_been_between(run_job, tmp_path, task, index, durable):
    undisturbed, its_engine = run_job(THIRD)
    interrupt(run_job, FIRST, task, index)
    sites = {"north": growing(), "south": growing()}
    record, engine = run_job(SECOND, sites, resume=FIRST)
    assert record.resumed == [Resumption(job=FIRST, after_round=durable)]
    assert without_times(record) == without_times(undisturbed)
    for name in ("model", "best_model"):
        (weights, about), (expected, wanted) = model(engine, name), model(its_engine, name)
        np.testing.assert_array_equal(weights["w"], expected["w"])
        assert about == wanted
    trained = [value for task, value in sites["north"].seen if task == TRAIN]
    assert trained == [float(value) for value in range(durable, ROUNDS)]


def test_a_second_interruption_before_the_next_round_loses_nothing_more(run_job):
    interrupt(run_job, FIRST, TRAIN, 2)
    interrupt(run_job, SECOND, PREPARE, 0, resume=FIRST)
    record, engine = run_job(THIRD, resume=SECOND)
    assert [(one.job, one.after_round) for one in record.resumed] == [(FIRST, 2), (SECOND, 2)]
    assert record.best_round == 2
    assert model(engine, "best_model")[0]["w"][0] == 2


class Scripted(Deadly):
    """Its scores stand in a table, by the value of the model's weights; so does when it is away.

    Steps of 1, 2, 4 and so on make every model another, whichever rounds are dropped.
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
    max_examples=examples(7),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.tuples(scripts, scripts),
    st.lists(st.tuples(scripts, absences), max_size=3),
    st.sampled_from([None, 0.2]),
    st.sampled_from([*((TRAIN, index) for index in range(1, ROUNDS)), (VALIDATE, ROUNDS)]),
)
def test_for_any_scores_a_resumed_job_selects_and_drops_the_same(run_job, trainers, clinics, margin, deadly):
    def sites(deadly=None):
        return {
            "north": Scripted(trainers[0]),
            **{f"clinic-{place}": Scripted(*one, step=None, cases=0) for place, one in enumerate(clinics)},
            "south": Scripted(trainers[1], deadly=deadly),
        }

    first, second, third = (new_job_id() for _ in range(3))
    options = {"rollback_margin": margin, "screening": {"max_norm_ratio": None}}
    undisturbed, its_engine = run_job(third, sites(), **options)
    with pytest.raises(Killed):
        run_job(first, sites(deadly), **options)
    record, engine = run_job(second, sites(), resume=first, **options)
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


def test_a_best_round_whose_checkpoint_is_lost_is_none_any_more(run_job, tmp_path, caplog):
    """The record never names a best round of which there is no model."""
    interrupt(run_job, FIRST, VALIDATE, ROUNDS)
    for file in (tmp_path / "kept" / FIRST).glob("round_000002.*"):
        file.unlink()
    record, engine = run_job(SECOND, resume=FIRST)
    assert "the model of round 2, the best so far, is not among the checkpoints" in caplog.text
    assert record.best_round == 4  # the only one that came up for evaluation since
    assert model(engine, "best_model")[1]["round"] == "4"


class Replaying(Site):
    """Sends the same update again and again."""

    def update(self):
        return {"w": np.full(2, 1.0), "mark": np.full(1, 1e-3)}


def test_what_the_server_knows_of_bad_updates_outlives_it(run_job):
    def sites(deadly):
        return {"north": Site(), "south": Site(), "east": Replaying(), "west": Deadly(TRAIN, deadly)}

    with pytest.raises(Killed):
        run_job(FIRST, sites(2))
    with pytest.raises(Killed):
        run_job(SECOND, sites(3), resume=FIRST)
    record, _ = run_job(THIRD, sites(None), resume=SECOND, rounds=5)
    assert record.status == "finished"
    outcomes = [one.sites["east"].outcome for one in record.rounds]
    assert outcomes == ["trained", "refused", "refused", "refused", "excluded"]
    assert record.excluded == ["east"]
    assert "the same as its own of round 1" in record.rounds[3].sites["east"].reason


def test_a_job_that_excludes_sooner_than_the_one_it_resumes_counts_no_more_scores_of_the_site(run_job):
    def sites(deadly=None):
        return {"north": Site(), "south": Site(), "east": Replaying(), "west": Deadly(TRAIN, deadly)}

    with pytest.raises(Killed):
        run_job(FIRST, sites(3))
    record, _ = run_job(SECOND, sites(), resume=FIRST, screening={"max_refusals": 2})
    assert record.rounds[3].sites["east"].outcome == "excluded"
    assert record.excluded == ["east"]


@pytest.mark.parametrize("task", [TRAIN, VALIDATE])
def test_a_round_that_did_harm_is_dropped_by_the_job_that_resumes_as_well(run_job, task):
    """The model after round 3 is the worse one; the server dies before any site has evaluated it."""
    rounds = 4 if task == TRAIN else 3
    undisturbed, its_engine = run_job(THIRD, rounds=rounds, rollback_margin=0.2)
    assert undisturbed.rounds[2].rolled_back
    interrupt(run_job, FIRST, task, 3, rounds=rounds, rollback_margin=0.2)
    record, engine = run_job(SECOND, resume=FIRST, rounds=rounds, rollback_margin=0.2)
    assert without_times(record) == without_times(undisturbed)
    np.testing.assert_array_equal(model(engine, "model")[0]["w"], model(its_engine, "model")[0]["w"])


def test_a_resumed_job_may_train_for_more_rounds(run_job):
    run_job(FIRST, rounds=2)
    record, engine = run_job(SECOND, resume=FIRST, rounds=4)
    assert (record.rounds_planned, len(record.rounds)) == (4, 4)
    assert model(engine, "model")[0]["w"][0] == 4


def test_a_resumed_job_draws_no_first_weights(run_job):
    interrupt(run_job, FIRST, TRAIN, 2)
    record, _ = run_job(SECOND, resume=FIRST, persistor=NoFirstWeights)
    assert record.status == "finished"
