"""Swarm learning through the controller, with the sites' own dialogues in this process."""

import json

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import SiteRefusal
from consilium.federation.message_names import (
    ANSWER_META,
    CODE_HEADER,
    QUESTION_META,
    REASON_HEADER,
    REPORT_META,
    TRAIN,
)
from consilium.learning.algorithms import site_dialogue
from consilium.learning.algorithms.dialogue import SitePlace, UpdateOrigin
from consilium.learning.algorithms.sealed_plan import (
    ACCEPT,
    COMBINE,
    COMBINED,
    SEALED,
    SwarmAlgorithmSettings,
)
from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM
from consilium.learning.model_file import load_model
from consilium.learning.weights import MODEL, join_sets, split_sets
from consilium.sealed.merging import pack_update
from consilium.secagg.identity import IDENTITY_FILE
from consilium.secagg.local_federation import exchange_identities
from consilium.secagg.peers import PEERS_FILE
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from federation.flare import JOB_ID
from federation.rehearsal import Site, TwoWeights, outcomes, rehearse

QUESTIONS = [ADVERTISE, ACCEPT, TRAIN, CONFIRM, COMBINE]
NAMES = ("east", "north", "south", "west")
STEPS = {
    "east": {"step": 2.0, "cases": 6},
    "north": {"step": -1.0},
    "south": {"step": 0.5},
    "west": {"step": 0.25},
}
MEAN = (6 * 2.0 + 3 * (-1.0 + 0.5 + 0.25)) / 15


class Tensors(TwoWeights):
    def load_model(self, fl_ctx):
        weights = {"w": np.zeros(2, np.float32), "mark": np.zeros((), np.float32)}
        return make_model_learnable(weights=weights, meta_props={"round": 0})


class SwarmSite(Site):
    """Answers a round's questions with the package's own dialogue.

    `silent_at` are questions that it misses, by round; `lie` changes what it sends to a question.
    """

    def __init__(self, name, folder, *, silent_at=(), lie=None, job=JOB_ID, run=JOB_ID, **options):
        super().__init__(**options)
        self.name, self.folder, self.silent_at, self.lie = name, folder, silent_at, lie
        self.job, self.run = job, run
        self.dialogue = site_dialogue(SwarmAlgorithmSettings())
        self.asked, self.received = [], []

    def __call__(self, task, model):
        if task in QUESTIONS:
            self.asked.append((task, model.current_round))
            if (task, model.current_round) in self.silent_at:
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "it died"})
        trains = self.step is not None
        self.dialogue.enter(
            SitePlace(self.name, self.job, self.run, trains, self.folder / "local", self.folder / "state")
        )
        try:
            return self.reply(task, model)
        except SiteRefusal as error:
            headers = {REASON_HEADER: error.public_reason, CODE_HEADER: error.code.value}
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, headers)

    def change(self):
        return {"w": np.full(2, self.step, np.float32), "mark": np.float32(0).reshape(())}

    def reply(self, task, model):
        content = model.meta.get(QUESTION_META, {})
        if task in QUESTIONS and task != TRAIN:
            received = split_sets(model.params or {}, (SEALED,))
            answer = self.dialogue.answer(task, content, received)
            return self.answer(task, dict(answer.content), dict(answer.sets), model)
        answer = FLModelUtils.from_shareable(super().__call__(task, model))
        sets = None
        if self.step is not None and task == TRAIN:
            received = {name: model.params[name] for name in ("w", "mark")}
            origin = UpdateOrigin(
                received, self.cases, model.current_round, model.total_rounds, BrainTumorSettings()
            )
            sealed = self.dialogue.seal({MODEL: self.change(), SEALED: {}, COMBINED: {}}, content, origin)
            sets = dict(sealed)
            if self.lie:
                _, sets = self.lie(task, {}, sets)
        reply = FLModel(
            params_type=ParamsType.DIFF if sets else None,
            params=join_sets(sets) if sets else None,
            metrics=answer.metrics,
            current_round=model.current_round,
            meta={REPORT_META: answer.meta[REPORT_META]},
        )
        return FLModelUtils.to_shareable(reply)

    def answer(self, task, content, sets, model):
        if self.lie:
            content, sets = self.lie(task, content, sets)
        return FLModelUtils.to_shareable(
            FLModel(
                params_type=ParamsType.DIFF if sets else None,
                params=join_sets(sets) or None,
                metrics={},
                current_round=model.current_round,
                meta={ANSWER_META: content},
            )
        )


@pytest.fixture
def sites(tmp_path):
    def sites(options=None, names=NAMES, **common):
        folders = {name: tmp_path / "sites" / name for name in names}
        for folder in folders.values():
            (folder / "local").mkdir(parents=True, exist_ok=True)
        exchange_identities({name: folder / "local" for name, folder in folders.items()})
        return {
            name: SwarmSite(
                name,
                folder,
                **{
                    "cases": 3,
                    "step": 1.0,
                    "dice": lambda value: 0.5,
                    **common,
                    **(options or STEPS).get(name, {}),
                },
            )
            for name, folder in folders.items()
        }

    return sites


@pytest.fixture
def run(tmp_path):
    def run(sites, **settings):
        defaults = {
            "rounds": 2, "min_sites": 3, "persistor": Tensors, "algorithm": {"name": "swarm"},
            "screening": {"max_norm_ratio": None}, "aggregation": {"max_site_share": 1.0},
        }  # fmt: skip
        return rehearse(tmp_path / "server", sites, **{**defaults, **settings})

    return run


def w(engine):
    return float(load_model(engine.run_folder / "model.safetensors")[0]["w"][0])


def combiners(hospitals):
    return {name: [index for task, index in one.asked if task == COMBINE] for name, one in hospitals.items()}


def test_a_job_gives_the_weighted_mean_and_each_hospital_has_its_turn(run, sites):
    hospitals = sites()
    record, engine = run(hospitals, rounds=5)
    assert record.status == "finished", record.reason
    assert w(engine) == pytest.approx(5 * MEAN, rel=1e-6)
    assert combiners(hospitals) == {"east": [0, 4], "north": [1], "south": [2], "west": [3]}
    first = record.rounds[0].sites
    assert {name: one.weight for name, one in first.items()} == pytest.approx(
        {"east": 0.4, "north": 0.2, "south": 0.2, "west": 0.2}
    )
    assert all(outcomes(record, name) == ["trained"] * 5 for name in NAMES)


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "clipped_mean"])
def test_the_job_s_robust_rule_is_that_of_the_hospital_with_the_turn(run, sites, rule, tmp_path):
    """What secure aggregation can't have: one bad update doesn't count."""
    options = {name: {"step": 1.0 + number / 100} for number, name in enumerate(NAMES)}
    options["west"]["step"] = 1000.0
    record, engine = run(sites(options), rounds=1, aggregation={"rule": rule})
    assert record.status == "finished", record.reason
    assert w(engine) == pytest.approx(1.0, abs=0.1)


def test_an_update_that_is_far_too_long_is_left_out_and_named(run, sites):
    options = {name: {"step": 1.0} for name in NAMES} | {"west": {"step": 1e4}}
    record, engine = run(sites(options), rounds=1, screening={"max_norm_ratio": 6.0})
    assert record.status == "finished", record.reason
    assert w(engine) == pytest.approx(1.0)
    west = record.rounds[0].sites["west"]
    assert (west.outcome, west.weight, west.code.value) == ("refused", 0.0, "update")
    assert west.reason == "east says that its update is far longer than the others', or changes nothing"


def test_updates_that_were_left_out_do_not_make_the_job_s_quorum(run, sites):
    options = {name: {"step": 1.0} for name in NAMES} | {"west": {"step": 1e4}}
    record, _ = run(sites(options), rounds=1, min_sites=4, screening={"max_norm_ratio": 6.0})
    assert record.status == "failed"
    assert "3 updates could be used, and min_sites is 4" in record.reason


def test_a_round_without_the_job_s_quorum_of_used_updates_is_not_trained_again(run, sites):
    """Its list is signed, so another attempt would train at every site for nothing."""
    options = {name: {"step": 1.0} for name in NAMES} | {"west": {"step": 1e4}}
    hospitals = sites(options)
    record, _ = run(
        hospitals,
        rounds=1,
        min_sites=4,
        screening={"max_norm_ratio": 6.0},
        quorum={"attempts": 3, "backoff_seconds": 0},
    )
    assert "3 updates could be used, and min_sites is 4" in record.reason
    assert all(one.asked.count((TRAIN, 0)) == 1 for one in hospitals.values())


def test_the_server_has_no_update_in_the_clear(run, sites, tmp_path):
    """Neither in what arrives, nor in what it keeps on disk while the round runs."""
    arrived, kept = [], []

    def on_event(engine, training, event, data):
        found = engine.run_folder.rglob("*.safetensors")
        kept.extend(path.read_bytes() for path in found if "updates" in path.parts)

    hospitals = sites({name: {"step": 1.2345 + number} for number, name in enumerate(NAMES)})

    def watch(site):
        def watched(task, model):
            answer = site(task, model)
            params = FLModelUtils.from_shareable(answer).params if task == TRAIN else None
            arrived.extend(np.asarray(value).tobytes() for value in (params or {}).values())
            return answer

        return watched

    record, _ = run({name: watch(one) for name, one in hospitals.items()}, rounds=1, on_event=on_event)
    assert record.status == "finished", record.reason
    assert len(arrived) == 4
    assert kept
    for one in hospitals.values():
        clear = one.change()["w"].tobytes()
        assert not any(clear in seen for seen in (*arrived, *kept))


@pytest.mark.parametrize("stage", [ADVERTISE, ACCEPT, TRAIN, CONFIRM])
def test_a_site_that_is_lost_costs_the_others_nothing(run, sites, stage):
    """Before it sends, its update is left out; after, it counts."""
    hospitals = sites({**STEPS, "west": {"step": 0.25, "silent_at": [(stage, 0)]}})
    record, engine = run(hospitals)
    assert record.status == "finished", record.reason
    without = (6 * 2.0 + 3 * (-1.0 + 0.5)) / 12
    assert w(engine) == pytest.approx((MEAN if stage == CONFIRM else without) + MEAN, rel=1e-6)
    assert [one.attempts for one in record.rounds] == [1, 1]


class Once(list):
    def __contains__(self, item):
        return item in list(self) and not self.remove(item)


@pytest.mark.parametrize("stage", [ADVERTISE, ACCEPT, TRAIN])
def test_when_the_hospital_with_the_turn_is_lost_another_has_it(run, sites, stage):
    hospitals = sites({**STEPS, "east": {"step": 2.0, "cases": 6, "silent_at": Once([(stage, 0)])}})
    record, engine = run(hospitals, rounds=1, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    if stage == ADVERTISE:  # then it is not in the order, and nothing is repeated
        assert combiners(hospitals)["north"] == [0]
        assert record.rounds[0].attempts == 1
    else:
        assert combiners(hospitals) == {"east": [], "north": [0], "south": [], "west": []}
        assert record.rounds[0].attempts == 2
        assert w(engine) == pytest.approx(MEAN, rel=1e-6)


def test_when_the_hospital_with_the_turn_is_lost_at_the_end_the_round_counts_without_an_update(run, sites):
    """No other attempt is made: two means of one round could show single updates."""
    hospitals = sites({**STEPS, "east": {"step": 2.0, "cases": 6, "silent_at": [(COMBINE, 0)]}})
    record, engine = run(hospitals, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    first = record.rounds[0]
    assert first.attempts == 1
    assert "east, whose turn it was, did not combine the updates (east: it died)" in first.rolled_back
    assert w(engine) == pytest.approx(MEAN, rel=1e-6)  # of the second round alone


def test_with_fewer_hospitals_than_they_demand_nothing_is_combined(run, sites):
    lost = {name: {**STEPS[name], "silent_at": [(TRAIN, 0)]} for name in ("south", "west")}
    hospitals = sites({**STEPS, **lost})
    record, _ = run(hospitals, min_sites=2)
    assert record.status == "failed"
    assert "at least 3 must" in record.reason
    assert not any(combiners(hospitals).values())


def test_a_site_that_only_evaluates_scores_and_sends_nothing(run, sites):
    record, engine = run(sites({**STEPS, "west": {"step": None}}), rounds=1)
    assert record.status == "finished", record.reason
    assert w(engine) == pytest.approx((6 * 2.0 + 3 * (-1.0 + 0.5)) / 12, rel=1e-6)
    assert outcomes(record, "west") == ["evaluated"]


def test_a_site_without_an_identity_declines_with_the_reason(run, sites):
    hospitals = sites()
    (hospitals["west"].folder / "local" / IDENTITY_FILE).unlink()
    record, _ = run(hospitals, rounds=1)
    assert record.status == "finished", record.reason
    assert "no identity" in record.rounds[0].questions[ADVERTISE]["west"].reason


def test_a_hospital_that_the_others_did_not_pin_is_left_out_before_anybody_trains(run, sites):
    hospitals = sites()
    for name in ("east", "north", "south"):
        path = hospitals[name].folder / "local" / PEERS_FILE
        content = json.loads(path.read_text())
        del content["peers"]["west"]
        path.write_text(json.dumps(content))
    record, engine = run(hospitals, rounds=1, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    assert w(engine) == pytest.approx((6 * 2.0 + 3 * (-1.0 + 0.5)) / 12, rel=1e-6)
    trained = [name for name, one in hospitals.items() for task, _ in one.asked if task == TRAIN]
    assert sorted(trained) == ["east", "north", "south"]


def falsify(question, change):
    def lie(task, content, sets):
        if task == question:
            change(content, sets)
        return content, sets

    return lie


def replace(name, value):
    def change(content, sets):
        sets[COMBINED] = {**sets[COMBINED], name: value(sets[COMBINED][name])}

    return change


def leave_out(*names):
    def change(content, sets):
        content["left_out"] = dict.fromkeys(names, "length")

    return change


def talk(content, sets):
    content["left_out"] = {"west": "bad\n2026-01-01 ERROR a forged line"}


def in_the_clear(content, sets):
    sets[MODEL] = {"w": np.ones(2, np.float32)}


LIES = {
    "NaN": replace("w", lambda value: value * np.nan),
    "another shape": replace("w", lambda value: np.ones(3, np.float32)),
    "another type": replace("w", lambda value: value.astype(np.float64)),
    "nothing changes": replace("w", lambda value: value * 0),
    "two hospitals less": leave_out("south", "west"),
    "a hospital that is not there": leave_out("mars"),
    "words of its own": talk,
    "a model beside it": in_the_clear,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_combined_update_that_can_not_be_one_is_rejected_and_costs_that_round_only(run, sites, lie):
    hospitals = sites({**STEPS, "east": {"step": 2.0, "cases": 6, "lie": falsify(COMBINE, lie)}})
    record, engine = run(hospitals, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    assert "did not combine the updates" in record.rounds[0].rolled_back
    assert record.rounds[0].attempts == 1  # no other would be confirmed
    assert combiners(hospitals)["east"] == [0]
    assert w(engine) == pytest.approx(MEAN, rel=1e-6)  # of the second round, another hospital's turn


@pytest.mark.parametrize("liar", ["east", "west"])
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_a_hospital_s_false_length_costs_its_own_turns_only(run, sites, factor, liar):
    """Its length is not what the others' are compared with, whether it has the first turn or a later one."""
    lie = falsify(COMBINE, replace("w", lambda value: value * np.float32(factor)))
    record, _ = run(
        sites({name: {"step": 1.0} for name in NAMES} | {liar: {"step": 1.0, "lie": lie}}),
        rounds=8,
        screening={"max_norm_ratio": 50.0},  # these sites' steps don't fall with the learning rate
        quorum={"attempts": 2, "backoff_seconds": 0},
    )
    assert record.status == "finished", record.reason
    dropped = [one for one in record.rounds if one.rolled_back]
    known = {"east": [5], "west": [4, 8]}[liar]  # of the first turns nothing can be known
    assert [one.number for one in dropped] == (known if factor > 1 else [])
    assert all("times as long as the others'" in one.rolled_back for one in dropped)


def test_a_model_that_is_not_that_of_the_others_is_refused(run, sites):
    """Else a server could send the others one that can't learn, and the mean would be one site's update."""
    hospitals = sites()

    def other(task, model):
        if task == TRAIN:
            model.params["w"] = model.params["w"] + np.float32(99)
        return hospitals["west"](task, model)

    record, engine = run({**hospitals, "west": other}, rounds=1)
    assert record.status == "finished", record.reason
    assert "not the one that the others have signed" in record.rounds[0].sites["west"].reason
    assert w(engine) == pytest.approx((6 * 2.0 + 3 * (-1.0 + 0.5)) / 12, rel=1e-6)


def test_a_hospital_without_which_no_mean_is_left_is_named(run, sites, monkeypatch):
    """Of three, one that sends what nobody can read."""
    monkeypatch.setattr(
        "consilium.learning.algorithms.swarm.pack_update",
        lambda update, cases: b"junk" if cases == 7 else pack_update(update, cases),
    )
    hospitals = sites({"south": {"cases": 7}}, names=NAMES[:3])
    record, _ = run(hospitals, quorum={"attempts": 3, "backoff_seconds": 0})
    assert record.status == "failed"
    assert "no round has changed the model" in record.reason
    for one in record.rounds:
        assert one.attempts == 1  # no other would be confirmed
        assert "south: unreadable" in one.rolled_back


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(100, np.uint8),
        np.zeros((2, 50), np.uint8),
        np.zeros(100, np.float32),
        np.zeros(0, np.uint8),
        np.zeros(10_000_000, np.uint8),
    ],
    ids=["of nobody", "two axes", "floats", "empty", "huge"],
)
def test_something_else_than_an_encrypted_update_costs_its_own_site_only(run, sites, value):
    def change(content, sets):
        sets[SEALED] = {"update": value}

    hospitals = sites({**STEPS, "west": {"step": 0.25, "lie": falsify(TRAIN, change)}})
    record, engine = run(hospitals, rounds=1)
    assert record.status == "finished", record.reason
    assert w(engine) == pytest.approx((6 * 2.0 + 3 * (-1.0 + 0.5)) / 12, rel=1e-6)
    assert outcomes(record, "west") == ["refused"]


def test_a_resumed_job_does_not_combine_a_round_of_the_first_again(run, sites):
    """The subject is the training that the first job began."""
    hospitals = sites({**STEPS, "east": {"step": 2.0, "cases": 6, "silent_at": [(COMBINE, 0)]}})
    record, _ = run(hospitals, rounds=1)
    assert record.status == "failed"
    again = sites(job="another-job")
    record, _ = run(again, rounds=1, job_id="another-job")
    assert record.status == "failed"
    assert "0 sites confirmed the list" in record.reason
    assert not any(combiners(again).values())
