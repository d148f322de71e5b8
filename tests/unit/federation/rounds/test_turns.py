"""Rounds in which one site trains and the others evaluate: cyclic weight transfer."""

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.job_def import new_job_id
from nvflare.apis.shareable import make_reply
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode
from consilium.federation.message_names import QUESTION_META, REASON_HEADER, TRAIN
from consilium.records.outcome import determine_outcome
from consilium.report.training.cautions import list_cautions
from consilium.report.training.participation import Participation
from federation.rehearsal import Site, outcomes, panics, saved

from .interruption import Killed

CYCLIC = {"name": "cyclic"}
NO_PAUSE = {"attempts": 3, "backoff_seconds": 0}


class TakingTurns(Site):
    """Trains in its own turn only; `fails` makes that turn fail in some rounds, counted from 0.

    Args:
        name: Of the site.
        fails: How: it declines, is silent, or sends no update, one of no number, or one out of turn.
        when: The rounds in which it does; None for all.
    """

    def __init__(self, name, fails=None, when=None, **site):
        super().__init__(**site)
        self.name, self.fails, self.when, self.trained = name, fails, when, []

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if task != TRAIN:
            return answer
        mine = model.meta[QUESTION_META] == {"turn": self.name}
        fails = self.fails if self.when is None or model.current_round in self.when else None
        if mine and fails == "declines":
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "out of memory"})
        if mine and fails == "silent":
            return None
        if (mine and fails != "evaluates") or fails == "out of turn":
            self.trained.append(model.current_round)
            return answer
        evaluated = FLModelUtils.from_shareable(answer)
        evaluated.params = evaluated.params_type = None
        return FLModelUtils.to_shareable(evaluated)

    def update(self):
        return {k: v * (np.nan if self.fails == "spoils" else 1) for k, v in super().update().items()}


def federation(**failing):
    return {name: TakingTurns(name, failing.get(name)) for name in ("north", "south", "west")}


def cycle(run, sites, **settings):
    return run(sites, algorithm=CYCLIC, **{"quorum": NO_PAUSE, "rounds": 6, **settings})


def turns(record):
    return [one.turn for one in record.rounds]


def test_one_site_after_the_other_trains_and_all_score_every_model(run):
    sites = federation()
    record, engine = cycle(run, sites)
    assert record.status == "finished"
    assert turns(record) == ["north", "south", "west"] * 2
    for place, (name, site) in enumerate(sites.items()):
        assert site.trained == [place, place + 3]
        assert [one.sites[name].weight for one in record.rounds] == [
            1.0 if one.turn == name else 0.0 for one in record.rounds
        ]
    assert all(one.scores.keys() == sites.keys() for one in record.rounds)
    assert saved(engine)[0] == 6  # every update wholly applied
    assert record.best_round == 6
    assert determine_outcome(record).kind == "success"


def test_the_sites_that_wait_are_no_failures(run):
    record, _ = cycle(run, federation())
    assert outcomes(record, "south") == ["evaluated", "trained", "evaluated"] * 2
    assert {one.reason for a_round in record.rounds for one in a_round.sites.values()} == {None}
    assert determine_outcome(record).reasons == ()


@pytest.mark.parametrize("fails", ["declines", "silent", "evaluates", "spoils"])
def test_a_hospital_that_misses_its_turn_costs_an_attempt_and_not_the_job(run, fails):
    record, engine = cycle(run, federation(south=fails), rounds=3)
    assert record.status == "finished"
    assert turns(record) == ["north", "west", "west"]
    assert [one.attempts for one in record.rounds] == [1, 2, 1]
    assert saved(engine)[0] == 3
    assert not panics(engine)


REASONS = {
    "declines": "out of memory",
    "silent": "it had not answered when the round was closed",
    "evaluates": "it sent no update",
    "spoils": "its update is rejected: w is not finite",
}


@pytest.mark.parametrize(("fails", "reason"), REASONS.items())
def test_a_job_that_learned_nothing_of_a_hospital_says_so_and_is_no_success(run, fails, reason):
    record, _ = cycle(run, federation(south=fails), rounds=6)
    assert record.status == "finished"
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    said = [str(one) for one in outcome.reasons]
    assert f"rounds 2, 5: south missed its turn: {reason}" in said
    assert "no update of south is in the final model, although it trains" in said
    cautions = list_cautions(record)
    assert any(one.startswith(f"south missed 2 turns, in rounds 2, 5: {reason}. ") for one in cautions)
    assert any(one.startswith("No update of south is in the final model") for one in cautions)


def test_a_turn_that_failed_once_is_named_although_the_hospital_had_others(run):
    sites = {**federation(), "south": TakingTurns("south", "declines", when=[1])}
    record, _ = cycle(run, sites, rounds=6)
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert [str(one) for one in outcome.reasons] == ["round 2: south missed its turn: out of memory"]


def test_a_hospital_for_which_there_are_too_few_rounds_is_named(run):
    record, _ = cycle(run, federation(), rounds=2)
    assert record.status == "finished"
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert [str(one) for one in outcome.reasons] == [
        "no update of west is in the final model, although it trains"
    ]
    assert outcome.reasons[0].code is RefusalCode.NO_UPDATE


def test_a_hospital_whose_turns_were_all_dropped_is_named(run):
    table = {0: 0.1, 1: 0.5, 2: 0.9}
    sites = {
        name: TakingTurns(name, dice=lambda w: table.get(round(w), 0.0))
        for name in ("north", "south", "west")
    }
    sites["south"].step = -1.0
    record, _ = cycle(run, sites, rounds=3, rollback_margin=0.2)
    assert record.rounds[1].rolled_back
    said = [str(one) for one in determine_outcome(record).reasons]
    assert "no update of south is in the final model, although it trains" in said


def test_a_turn_is_lost_to_a_round_that_others_made_fail(run):
    """Its update came, and too few of the others answered."""

    class Away(TakingTurns):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            return None if task == TRAIN and len(self.seen) == 2 else answer

    record, _ = cycle(run, {**federation(), "west": Away("west")}, rounds=3, min_sites=3)
    assert turns(record) == ["south", "south", "west"]
    assert (
        "its update was not used: round 1 has 2 answers to train"
        in record.rounds[0].missed_turns["north"].reason
    )
    said = [str(one) for one in determine_outcome(record).reasons]
    assert "no update of north is in the final model, although it trains" in said


def test_with_other_algorithms_a_site_that_trains_and_sends_no_update_is_named_too(run):
    class Idle(Site):
        def __call__(self, task, model):
            answer = FLModelUtils.from_shareable(super().__call__(task, model))
            answer.params = answer.params_type = None
            return FLModelUtils.to_shareable(answer)

    record, _ = run({"north": Site(), "south": Site(), "west": Idle()})
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert [str(one) for one in outcome.reasons] == [
        "no update of west is in the final model, although it trains"
    ]


def test_the_reason_names_whose_turn_it_was(run):
    sites = {name: TakingTurns(name, "declines") for name in ("north", "south", "west")}
    record, engine = cycle(run, sites)
    assert record.status == "failed"
    assert record.reason == "round 1 has no update of west, whose turn it is: out of memory"
    assert panics(engine) == [record.reason]
    assert {name: one.outcome for name, one in record.rounds[0].sites.items()} == {
        "north": "evaluated", "south": "evaluated", "west": "refused",
    }  # fmt: skip


def test_a_site_that_sends_no_update_in_its_turn_is_named(run):
    record, _ = cycle(run, federation(north="evaluates"), quorum={"attempts": 1})
    assert record.reason == "round 1 has no update of north, whose turn it is: it sent none"


def test_an_update_out_of_turn_is_rejected_and_in_no_model(run):
    record, engine = cycle(run, federation(west="out of turn"), rounds=2)
    assert record.status == "finished"
    assert record.rounds[0].sites["west"].reason == "its update is rejected: it is the turn of north"
    assert saved(engine)[0] == 2


def test_rejected_turns_add_up_although_the_site_evaluates_well_in_between(run):
    record, _ = cycle(run, federation(south="spoils"), rounds=9)
    assert record.status == "finished"
    assert record.excluded == ["south"]
    assert "excluded from training after 3 rejected answers" in record.rounds[-1].sites["south"].reason


def test_a_much_longer_update_than_in_the_turns_before_is_rejected(run):
    sites = {**federation(), "west": TakingTurns("west", step=1000.0)}
    record, engine = cycle(run, sites, rounds=3)
    assert turns(record) == ["north", "south", "north"]
    assert record.rounds[2].attempts == 2
    assert saved(engine)[0] == 3


@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
@pytest.mark.parametrize("step", [1e-9, 1e9])
def test_no_hospital_s_length_has_the_others_rejected(run, names, step):
    """An update that is hardly any, or is far too long, is no measure of what others may send."""
    for place in range(len(names)):
        sites = {
            name: TakingTurns(name, step=step if name == names[place] else 1.0, dice=lambda w: 0.5)
            for name in names
        }
        rounds = 3 * len(names)
        record, _ = cycle(run, sites, rounds=rounds, screening={"max_norm_ratio": 50.0})
        assert record.status == "finished", record.reason
        honest = [name for name, one in sites.items() if one.step == 1.0]
        given = {name: sum(one.sites[name].weight or 0 for one in record.rounds) for name in honest}
        assert min(given.values()) >= 3, given


def test_a_hospital_that_is_not_connected_in_a_round_costs_no_other_its_turn(run):
    away = []

    def leave(engine, controller, event, data):
        if event == AppEventType.ROUND_STARTED:
            away.append(engine.clients[:])
            gone = {2: "north"}.get(len(away))
            engine.clients = [one for one in away[0] if one.name != gone]

    record, _ = cycle(run, federation(), rounds=3, on_event=leave)
    assert turns(record) == ["north", "south", "west"]
    assert "north" not in record.rounds[1].sites


def test_min_sites_counts_the_hospitals_that_answered_and_could_train(run):
    class Mute(TakingTurns):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            return None if task == TRAIN else answer

    sites = {**federation(), "clinic": TakingTurns("clinic", step=None), "west": Mute("west")}
    record, _ = cycle(run, sites, rounds=2)
    assert record.status == "finished"
    once = {"attempts": 1}
    record, _ = cycle(run, sites, rounds=2, min_sites=3, quorum=once)
    assert record.reason.startswith("round 1 has 2 answers to train, and min_sites is 3; ")
    assert "west: it had not answered when the round was closed" in record.reason


def test_a_site_that_only_evaluates_has_no_turn(run):
    record, _ = cycle(run, {**federation(), "clinic": TakingTurns("clinic", step=None)}, rounds=4)
    assert turns(record) == ["north", "south", "west", "north"]


def test_a_model_that_a_turn_made_worse_is_dropped_and_the_next_hospital_trains_the_one_before(run):
    table = {0: 0.1, 1: 0.5, 2: 0.1}
    sites = {name: TakingTurns(name, dice=lambda w: table[round(w)]) for name in ("north", "south", "west")}
    record, engine = cycle(run, sites, rounds=3, rollback_margin=0.2)
    assert turns(record) == ["north", "south", "west"]
    assert record.rounds[1].rolled_back
    assert saved(engine)[0] == 1  # west's was as bad as south's


@pytest.mark.parametrize("killed", [1, 2, 4])
def test_a_resumed_job_continues_the_order(run_job, killed):
    class Deadly(TakingTurns):
        def __call__(self, task, model):
            if (task, model.current_round) == (TRAIN, killed):
                raise Killed
            return super().__call__(task, model)

    first, second = new_job_id(), new_job_id()
    options = {"algorithm": CYCLIC, "quorum": NO_PAUSE, "rounds": 6}
    with pytest.raises(Killed):
        run_job(first, {**federation(), "west": Deadly("west")}, **options)
    sites = federation()
    record, engine = run_job(second, sites, resume=first, **options)
    assert turns(record) == ["north", "south", "west"] * 2
    assert sorted(index for site in sites.values() for index in site.trained) == list(range(killed, 6))
    assert saved(engine)[0] == 6


def test_a_participation_row_shows_turns_and_waiting_apart():
    row = Participation("south", ("evaluated", "trained", "evaluated"))
    assert (row.trained, row.rejected, row.missed) == (1, 0, 0)
