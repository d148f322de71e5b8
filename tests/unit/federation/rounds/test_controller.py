"""A job from its first to its last round: what it trains, records and publishes."""

import json

import numpy as np
import pytest
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from consilium.errors import ConfigurationError
from consilium.federation.message_names import (
    PREPARE,
    TASK_READY_TOPIC,
    TEST,
    TRAIN,
    VALIDATE,
    VERSIONS_META,
)
from consilium.records.federation import SiteReport
from federation.flare import JOB_NAME
from federation.rehearsal import Rehearsal, Site, TwoWeights, panics, saved
from federation.troubled_sites import Attacker, Refusing


def test_every_round_moves_the_model_by_the_weighted_mean(run):
    north, south = Site(cases=1, step=1.0), Site(cases=3, step=2.0)
    record, engine = run({"north": north, "south": south})
    assert record.status == "finished"
    assert record.job == JOB_NAME
    assert saved(engine) == (pytest.approx(3 * 1.75), 3)
    asked = [(PREPARE, None), (TRAIN, 0), (TRAIN, 1.75), (TRAIN, 3.5), (VALIDATE, 5.25), (TEST, 5.25)]
    assert north.seen == south.seen == asked
    first = record.rounds[0].sites
    assert (first["north"].weight, first["south"].weight) == (0.25, 0.75)
    assert first["south"].update_norm == pytest.approx(np.sqrt(8))
    counts = {"validation_cases": 1, "validation_patients": 1, "test_cases": 1}
    assert first["south"].report == SiteReport(role="trains", train_cases=3, steps=16, **counts)
    assert not panics(engine)


def test_sites_that_have_a_task_are_woken_by_a_message_without_content(run):
    north, south = Site(), Site()
    _, engine = run({"north": north, "south": south})
    woken = [(sites, content) for topic, sites, content in engine.sent if topic == TASK_READY_TOPIC]
    assert len(woken) == len(north.seen)
    assert all(sorted(sites) == ["north", "south"] and content == Shareable() for sites, content in woken)


def test_scores_stand_with_the_model_that_they_were_made_with(run):
    record, _ = run({"north": Site(), "south": Site()})
    assert record.initial_scores["north"]["dice"] == 0
    dice = [one.scores["north"]["dice"] for one in record.rounds]
    assert dice == pytest.approx([0.1, 0.2, 0.3])
    assert [one.number for one in record.rounds] == [1, 2, 3]
    names = {f"{kind}{region}" for kind in ("dice", "hd95") for region in ("", "_tc", "_wt", "_et")}
    assert record.final_scores["north"] == dict.fromkeys(names, pytest.approx(0.3))


def test_every_task_says_which_versions_the_server_has(run):
    reported = []

    class Curious(Site):
        def __call__(self, task, model):
            reported.append(model.meta.get(VERSIONS_META))
            return super().__call__(task, model)

    record, _ = run({"north": Curious(), "south": Site()}, rounds=1)
    assert reported == [record.versions] * 4
    assert record.versions.keys() >= {"consilium", "nvflare"}


def test_a_wrong_admission_setting_is_rejected_before_anything_starts():
    with pytest.raises(ConfigurationError, match="did you mean 'min_ready'"):
        Rehearsal(rounds=1, min_sites=1, admission={"min_redy": 2})


def test_what_was_trained_before_a_failure_is_kept(run):
    record, engine = run({"north": Site(), "south": Refusing(rounds=[2])})
    assert record.status == "failed"
    assert record.reason.startswith("round 3 has 1 update")
    assert saved(engine) == (2, 2)
    assert record.rounds[1].scores["north"]["dice"] == pytest.approx(0.2)


def test_a_fault_of_the_server_s_own_ends_the_record_too(run, monkeypatch):
    def full(self, model, fl_ctx):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TwoWeights, "save_model", full)
    record, engine = run({"north": Site(), "south": Site()})
    assert record.status == "failed"
    assert record.reason == "OSError at the server; the reason is in its log"
    assert len(panics(engine)) == 1


def test_flare_s_own_writers_hear_of_every_round(run):
    _, engine = run({"north": Site(), "south": Site()}, rounds=2)
    names = [event for event, _ in engine.events]
    for event in (AppEventType.ROUND_STARTED, AppEventType.AFTER_AGGREGATION, AppEventType.ROUND_DONE):
        assert names.count(event) == 2


def test_flare_s_writers_get_mean_scores_of_the_round(run):
    published = []

    class Listener(TwoWeights):
        def handle_event(self, event_type, fl_ctx):
            super().handle_event(event_type, fl_ctx)
            if event_type == AppEventType.AFTER_AGGREGATION:
                published.append(fl_ctx.get_prop(AppConstants.AGGREGATION_RESULT))

    sites = {"north": Site(dice=lambda w: 0.2), "south": Site(dice=lambda w: 0.6)}
    run(sites, rounds=1, persistor=Listener)
    (aggregate,) = published
    assert aggregate.metrics["dice"] == pytest.approx(0.4)
    assert np.allclose(aggregate.params["w"], 1)


def test_the_record_is_json_that_anybody_can_read(run):
    _, engine = run({"north": Site(), "south": Site()}, rounds=1)
    content = json.loads((engine.run_folder / "federation.json").read_text())
    assert content["rounds_planned"] == 1
    assert content["settings"]["min_sites"] == 2


@pytest.mark.parametrize(("rule", "expected"), [("mean", -1.0), ("median", 1.0), ("trimmed_mean", 1.0)])
def test_the_job_chooses_how_updates_are_combined(run, rule, expected):
    sites = {"evil": Attacker(-5), "north": Site(), "south": Site()}
    record, engine = run(sites, rounds=1, aggregation={"rule": rule})
    assert saved(engine)[0] == pytest.approx(expected)
    assert record.settings["aggregation"]["rule"] == rule


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        ({"aggregation": {"rle": "median"}}, "the job's aggregation: .*\n.*did you mean 'rule'"),
        ({"screening": {"max_refusal": 1}}, "the job's screening: .*\n.*did you mean 'max_refusals'"),
    ],
)
def test_wrong_settings_are_rejected_before_anything_starts(settings, reported):
    with pytest.raises(ConfigurationError, match=reported):
        Rehearsal(rounds=1, min_sites=1, **settings)


def test_no_update_is_left_on_the_server_s_disk(run):
    _, engine = run({"evil": Attacker(10), "north": Site(), "south": Site()})
    assert not (engine.run_folder / "updates").exists()
