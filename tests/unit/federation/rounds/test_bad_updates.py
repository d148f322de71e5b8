"""What the controller makes of updates that can't be used, of sites that send them, and of bad rounds."""

import numpy as np
import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from consilium.errors import ConfigurationError, RefusalCode
from consilium.federation.message_names import PREPARE, REASON_HEADER, REFUSAL_HEADER, TRAIN, VALIDATE
from consilium.federation.updates import spool
from consilium.learning.model_file import load_model
from consilium.records.federation import FederationRecord
from federation.flare import Engine
from federation.rehearsal import Rehearsal, Site, TwoWeights


@pytest.fixture
def run(tmp_path):
    def run(sites, *, rounds=3, min_sites=2, **settings):
        engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
        controller = Rehearsal(rounds=rounds, min_sites=min_sites, **{"quorum": {"attempts": 1}, **settings})
        controller.sites, engine.components["training"] = sites, controller
        controller.start_controller(engine.context)
        controller.control_flow(Signal(), engine.context)
        return FederationRecord.load(engine.run_folder), engine

    return run


def model(engine):
    weights, _ = load_model(engine.run_folder / "model.safetensors")
    return float(weights["w"][0])


def number(engine, name="model"):
    """The round that a saved model says it is of."""
    return int(load_model(engine.run_folder / f"{name}.safetensors")[1]["round"])


def outcomes(record, site):
    return [one.sites[site].outcome for one in record.rounds]


class Attacker(Site):
    """Sends its update times a factor."""

    def __init__(self, factor, rounds=None):
        super().__init__()
        self.factor, self.rounds = factor, rounds

    def update(self):
        attacks = self.rounds is None or len(self.seen) - 2 in self.rounds  # after the preparation
        return {name: value * (self.factor if attacks else 1) for name, value in super().update().items()}


@pytest.mark.parametrize("factor", [10, 1000, -10, float("nan"), 0])
@pytest.mark.parametrize("honest", [1, 2, 5])
def test_bad_updates_are_left_out_and_their_site_is_excluded_in_the_end(run, factor, honest):
    evil, sites = Attacker(factor), {f"site-{index}": Site() for index in range(honest)}
    record, engine = run({"evil": evil, **sites}, rounds=5, min_sites=honest)
    assert record.status == "finished"
    assert model(engine) == 5
    assert outcomes(record, "evil") == ["refused"] * 3 + ["excluded"] * 2
    assert record.rounds[0].sites["evil"].reason.startswith("its update is rejected: ")
    last = record.rounds[2].sites["evil"].reason
    told = f"excluded from training after 3 rejected answers in a row, the last: {last}"
    assert record.rounds[4].sites["evil"].reason == told
    # It still learns how good the final model is at its place; what it says has no part in choosing a model.
    assert [task for task, _ in evil.seen] == [PREPARE, TRAIN, TRAIN, TRAIN, VALIDATE]
    assert record.final_sites["evil"].outcome == "evaluated"


def test_a_refused_update_is_kept_in_the_record_with_its_counts(run):
    record, _ = run({"evil": Attacker(10), "north": Site(), "south": Site()}, rounds=1)
    refused = record.rounds[0].sites["evil"]
    assert refused.update_norm == pytest.approx(10 * np.sqrt(2))
    assert refused.report.train_cases == 1
    assert refused.weight == 0
    assert record.excluded == []  # only after three in a row


def test_a_site_that_is_refused_now_and_then_stays(run):
    clumsy = Attacker(10, rounds=[0, 1, 3, 4])
    record, _ = run({"clumsy": clumsy, "north": Site(), "south": Site()}, rounds=6)
    assert outcomes(record, "clumsy") == ["refused", "refused", "trained", "refused", "refused", "trained"]


def test_a_site_that_only_evaluates_is_not_excluded_for_refusals_that_are_not_in_a_row(run):
    clinic = Site(step=None, cases=0, dice=lambda w: float("nan") if w % 2 else 0.5)
    record, _ = run({"clinic": clinic, "north": Site(), "south": Site()}, rounds=8)
    assert outcomes(record, "clinic") == ["evaluated", "refused"] * 4


def test_an_excluded_site_is_absent_for_the_quorum(run):
    quorum = {"attempts": 1, "mandatory_sites": ["evil"]}
    record, _ = run({"evil": Attacker(10), "north": Site(), "south": Site()}, quorum=quorum)
    assert record.reason.startswith("round 1 has 2 updates, without mandatory evil; evil: its update is")


def test_a_job_whose_sites_are_all_excluded_ends(run):
    sites = {"north": Attacker(float("nan")), "south": Attacker(float("nan"))}
    record, _ = run(sites, quorum={"attempts": 4, "backoff_seconds": 0})
    assert record.status == "failed"
    assert record.reason.startswith("round 1 has 0 updates, and min_sites is 2; north: excluded")


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


def test_a_round_goes_on_without_a_repeated_update(run):
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


def test_a_replayed_update_is_refused(run):
    class Replaying(Site):
        def update(self):
            return {"w": np.full(2, 1.0), "mark": np.zeros(1)}

    record, _ = run({"east": Replaying(), "north": Site(), "south": Site()})
    assert outcomes(record, "east") == ["trained", "refused", "refused"]
    assert "the same as its own of round 1" in record.rounds[2].sites["east"].reason


def test_training_cases_that_grow_after_the_preparation_are_refused(run):
    class Growing(Site):
        def __call__(self, task, model):
            self.cases = 1000 if task == TRAIN else 1
            return super().__call__(task, model)

    record, _ = run({"evil": Growing(), "north": Site(), "south": Site()}, rounds=1)
    assert "1000 training cases, and the site had prepared 1" in record.rounds[0].sites["evil"].reason


@pytest.mark.parametrize(("rule", "expected"), [("mean", -1.0), ("median", 1.0), ("trimmed_mean", 1.0)])
def test_the_job_chooses_how_updates_are_combined(run, rule, expected):
    sites = {"evil": Attacker(-5), "north": Site(), "south": Site()}
    record, engine = run(sites, rounds=1, aggregation={"rule": rule})
    assert model(engine) == pytest.approx(expected)
    assert record.settings["aggregation"]["rule"] == rule


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"aggregation": {"rle": "median"}}, "the job's aggregation: .*\n.*did you mean 'rule'"),
        ({"screening": {"max_refusal": 1}}, "the job's screening: .*\n.*did you mean 'max_refusals'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(settings, told):
    with pytest.raises(ConfigurationError, match=told):
        Rehearsal(rounds=1, min_sites=1, **settings)


def task_for(site, controller):
    context, peer, task = FLContext(), FLContext(), Shareable()
    peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
    context.set_peer_context(peer)
    context.set_prop(FLContextKey.TASK_DATA, task, private=True, sticky=False)
    controller.handle_event(EventType.AFTER_TASK_DATA_FILTER, context)
    return task


def test_a_task_tells_its_site_what_was_wrong_with_its_last_answer(run):
    record, engine = run({"evil": Attacker(10), "north": Site(), "south": Site()}, rounds=1)
    controller = engine.components["training"]
    assert task_for("evil", controller).get_header(REFUSAL_HEADER) == record.rounds[0].sites["evil"].reason
    assert task_for("north", controller).get_header(REFUSAL_HEADER) is None


def test_a_full_disk_at_the_server_is_not_the_site_s_fault(run, monkeypatch):
    save, calls = spool.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) % 3 == 1:
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(spool, "save_file", full)
    record, _ = run({"east": Site(), "north": Site(), "south": Site()}, rounds=4)
    assert record.status == "finished"
    assert outcomes(record, "east") == ["refused"] * 4  # never excluded
    assert record.rounds[3].sites["east"].reason == (
        "the server could not keep its update: No space left on device"
    )


def test_no_update_is_left_on_the_server_s_disk(run):
    _, engine = run({"evil": Attacker(10), "north": Site(), "south": Site()})
    assert not (engine.run_folder / "updates").exists()


class Judge(Site):
    """Its update is 1, in one round -10; it likes no model below 0."""

    def __init__(self, bad_at, dice=lambda w: 0.5 + w / 100):
        super().__init__(dice=dice)
        self.bad_at = bad_at

    def update(self):
        self.step = -10.0 if self.seen[-1][1] == self.bad_at else 1.0
        return super().update()


@pytest.mark.parametrize("margin", [None, 0.5])
def test_a_bad_round_stays_without_a_margin_that_is_crossed(run, margin):
    sites = {name: Judge(bad_at=1) for name in ("north", "south")}
    record, engine = run(sites, rounds=4, rollback_margin=margin, screening={"max_norm_ratio": None})
    assert [one.rolled_back for one in record.rounds] == [None] * 4
    assert model(engine) == -7


def test_a_round_that_makes_the_model_worse_is_dropped_and_the_next_one_starts_before_it(run):
    north = Judge(bad_at=1)
    record, engine = run(
        {"north": north, "south": Judge(bad_at=1)},
        rounds=4,
        rollback_margin=0.05,
        screening={"max_norm_ratio": None},
    )
    # Round 2 makes -9 of 1; round 3 finds that out, and starts again from 1, where the site errs again.
    trained = [value for task, value in north.seen if task == TRAIN]
    assert trained == [0, 1, -9, 1, -9, 1]
    assert [bool(one.rolled_back) for one in record.rounds] == [False, True, True, True]
    assert "its model is at least 0.100 worse than that of round 1" in record.rounds[1].rolled_back
    assert model(engine) == 1  # the last round's too, which the final validation finds out
    assert number(engine) == 1
    assert record.final_scores["north"]["dice"] == pytest.approx(0.51)
    assert record.best_round == 1


def test_after_a_rollback_the_job_goes_on_from_the_model_before(run):
    class Once(Judge):
        def update(self):
            update = super().update()
            self.bad_at = None if self.step < 0 else self.bad_at
            return update

    sites = {name: Once(bad_at=1) for name in ("north", "south")}
    record, engine = run(sites, rounds=4, rollback_margin=0.05, screening={"max_norm_ratio": None})
    assert [bool(one.rolled_back) for one in record.rounds] == [False, True, False, False]
    assert model(engine) == 3
    assert record.rounds[1].scores["north"]["dice"] == pytest.approx(0.41)  # of the model that was dropped


def test_a_round_that_was_dropped_is_not_the_best_even_if_it_is_the_only_one(run):
    sites = {name: Site(dice=lambda w: 0.9 - w / 2) for name in ("north", "south")}
    record, engine = run(sites, rounds=1, rollback_margin=0.1)
    assert "worse than the initial one in mean Dice at more than half of 2" in record.rounds[0].rolled_back
    assert record.best_round is None
    assert not (engine.run_folder / "best_model.safetensors").exists()
    assert (model(engine), number(engine)) == (0, 0)
    assert record.final_scores["north"]["dice"] == pytest.approx(0.9)
    assert record.initial_scores["north"]["dice"] == pytest.approx(0.9)
    assert record.rounds[0].scores["north"]["dice"] == pytest.approx(0.4)


def test_the_final_validation_of_a_restored_model_counts_for_the_round_that_made_it(run):
    class Clinic(Site):
        def __call__(self, task, model):
            return None if task == TRAIN else super().__call__(task, model)

    sites = {name: Judge(bad_at=1) for name in ("north", "south")}
    sites["clinic"] = Clinic(step=None, cases=0, dice=lambda w: 0.25)
    record, engine = run(sites, rounds=2, rollback_margin=0.05, screening={"max_norm_ratio": None})
    assert record.rounds[1].rolled_back
    assert record.rounds[0].scores.keys() == {"north", "south", "clinic"}
    assert record.rounds[0].scores == record.final_scores
    assert (record.best_round, number(engine)) == (1, 1)


def test_a_dropped_model_is_not_the_one_that_a_failed_job_leaves(run):
    """Round 3 drops the model of round 2, and has no quorum from there."""

    class Tired(Judge):
        def __call__(self, task, model):
            again = task == TRAIN and model.current_round == 2 and model.params["w"][0] == 1
            return None if again else super().__call__(task, model)

    sites = {"north": Judge(bad_at=1), "south": Tired(bad_at=1)}
    record, engine = run(sites, rounds=4, rollback_margin=0.05, screening={"max_norm_ratio": None})
    assert record.status == "failed"
    assert record.rounds[1].rolled_back
    assert (model(engine), number(engine)) == (1, 1)
    assert record.best_round == 1


def test_an_abort_in_the_second_final_validation_is_recorded(tmp_path):
    """The first one dropped the last round's model; nobody may take what is left for a finished job."""
    abort, asked = Signal(), []

    class Aborting(Site):
        def __call__(self, task, model):
            asked.extend([task] * (task == VALIDATE))
            if len(asked) == 2:
                abort.trigger(True)
            return super().__call__(task, model)

    sites = {name: kind(dice=lambda w: 0.9 - w / 2) for name, kind in (("north", Site), ("south", Aborting))}
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
    controller = Rehearsal(rounds=1, min_sites=2, quorum={"attempts": 1}, rollback_margin=0.1)
    controller.sites = sites
    controller.start_controller(engine.context)
    controller.control_flow(abort, engine.context)
    record = FederationRecord.load(engine.run_folder)
    assert (record.status, record.reason) == ("failed", "aborted in the final validation")
    assert (record.final_scores, record.final_sites) == ({}, {})
    assert (model(engine), number(engine)) == (0, 0)


def test_a_failed_attempt_with_one_site_s_scores_does_not_keep_a_bad_round(run):
    """When its model comes up for evaluation again, all sites' scores count."""

    class Late(Judge):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            first = model.current_round == 2 and [value for _, value in self.seen].count(-9.0) == 1
            return None if first else answer

    sites = {"north": Judge(bad_at=1), "south": Late(bad_at=1), "east": Late(bad_at=1)}
    record, _ = run(
        sites,
        rounds=3,
        rollback_margin=0.05,
        screening={"max_norm_ratio": None},
        quorum={"attempts": 2, "backoff_seconds": 0},
    )
    assert record.rounds[1].rolled_back
    assert record.rounds[2].attempts == 2


def test_an_excluded_site_s_scores_choose_no_round(run):
    evil = Attacker(10)
    evil.dice = lambda w: 0.0 if w == 5 else 1.0
    north, south = (Site(dice=lambda w: 0.1 * w), Site(dice=lambda w: 0.5))
    record, _ = run({"evil": evil, "north": north, "south": south}, rounds=5)
    assert record.excluded == ["evil"]
    assert record.final_scores["evil"]["dice"] == 0
    assert record.best_round == 5


def test_one_site_can_t_bring_a_round_down(run):
    liar = Site(dice=lambda w: 0.0 if w == 2 else 1.0)
    record, engine = run({"liar": liar, "north": Site(), "south": Site()}, rollback_margin=0.05)
    assert [one.rolled_back for one in record.rounds] == [None] * 3
    assert model(engine) == 3
