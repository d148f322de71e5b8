"""Rounds that made the model worse: dropped, and training resumed from the model before."""

import pytest

from consilium.errors import RefusalCode
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.message_names import TRAIN
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.records.outcome import determine_outcome
from federation.rehearsal import Site, saved


class Erring(Site):
    """Its update is 1, in one round -10; it likes no model below 0."""

    def __init__(self, bad_at, dice=lambda w: 0.5 + w / 100):
        super().__init__(dice=dice)
        self.bad_at = bad_at

    def update(self):
        self.step = -10.0 if self.seen[-1][1] == self.bad_at else 1.0
        return super().update()


@pytest.mark.parametrize("margin", [None, 0.5])
def test_a_bad_round_stays_without_a_margin_that_is_crossed(run, margin):
    sites = {name: Erring(bad_at=1) for name in ("north", "south")}
    record, engine = run(sites, rounds=4, rollback_margin=margin, screening={"max_norm_ratio": None})
    assert [one.rolled_back for one in record.rounds] == [None] * 4
    assert saved(engine)[0] == -7


def test_a_round_that_makes_the_model_worse_is_dropped_and_the_next_one_starts_before_it(run):
    north = Erring(bad_at=1)
    record, engine = run(
        {"north": north, "south": Erring(bad_at=1)},
        rounds=4,
        rollback_margin=0.05,
        screening={"max_norm_ratio": None},
    )
    # Round 2 makes -9 of 1; round 3 finds that out, and starts again from 1, where the site errs again.
    trained = [value for task, value in north.seen if task == TRAIN]
    assert trained == [0, 1, -9, 1, -9, 1]
    assert [bool(one.rolled_back) for one in record.rounds] == [False, True, True, True]
    assert "its model is at least 0.100 worse than that of round 1" in record.rounds[1].rolled_back
    assert saved(engine)[0] == 1  # the last round's too, which the final validation finds out
    assert saved(engine)[1] == 1
    assert record.final_scores["north"]["dice"] == pytest.approx(0.51)
    assert record.best_round == 1


def test_after_a_rollback_the_job_continues_from_the_model_before(run):
    class Once(Erring):
        def update(self):
            update = super().update()
            self.bad_at = None if self.step < 0 else self.bad_at
            return update

    sites = {name: Once(bad_at=1) for name in ("north", "south")}
    record, engine = run(sites, rounds=4, rollback_margin=0.05, screening={"max_norm_ratio": None})
    assert [bool(one.rolled_back) for one in record.rounds] == [False, True, False, False]
    assert saved(engine)[0] == 3
    assert record.rounds[1].scores["north"]["dice"] == pytest.approx(0.41)  # of the model that was dropped


def test_a_round_that_was_dropped_is_not_the_best_even_if_it_is_the_only_one(run):
    sites = {name: Site(dice=lambda w: 0.9 - w / 2) for name in ("north", "south")}
    record, engine = run(sites, rounds=1, rollback_margin=0.1)
    assert "worse than the initial one in mean Dice at more than half of 2" in record.rounds[0].rolled_back
    assert record.best_round is None
    assert not (engine.run_folder / "best_model.safetensors").exists()
    assert saved(engine) == (0, 0)
    assert record.final_scores["north"]["dice"] == pytest.approx(0.9)
    assert record.initial_scores["north"]["dice"] == pytest.approx(0.9)
    assert record.rounds[0].scores["north"]["dice"] == pytest.approx(0.4)


def test_a_model_restored_at_last_is_tested_and_is_no_candidate_again(run):
    class Clinic(Site):
        def __call__(self, task, model):
            return None if task == TRAIN else super().__call__(task, model)

    sites = {name: Erring(bad_at=1) for name in ("north", "south")}
    sites["clinic"] = Clinic(step=None, cases=0, dice=lambda w: 0.25)
    record, engine = run(sites, rounds=2, rollback_margin=0.05, screening={"max_norm_ratio": None})
    assert record.rounds[1].rolled_back
    assert record.rounds[0].scores.keys() == {"north", "south"}
    assert record.final_scores.keys() == {"north", "south", "clinic"}
    assert (record.best_round, saved(engine)[1]) == (1, 1)


def test_a_dropped_model_is_not_the_one_that_a_failed_job_leaves(run):
    """Round 3 drops the model of round 2, and has no quorum from there."""

    class Tired(Erring):
        def __call__(self, task, model):
            again = task == TRAIN and model.current_round == 2 and model.params["w"][0] == 1
            return None if again else super().__call__(task, model)

    sites = {"north": Erring(bad_at=1), "south": Tired(bad_at=1)}
    record, engine = run(sites, rounds=4, rollback_margin=0.05, screening={"max_norm_ratio": None})
    assert record.status == "failed"
    assert record.rounds[1].rolled_back
    assert saved(engine) == (1, 1)
    assert record.best_round == 1


def test_a_failed_attempt_with_one_site_s_scores_does_not_keep_a_bad_round(run):
    """When its model comes up for evaluation again, all sites' scores count."""

    class Late(Erring):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            first = model.current_round == 2 and [value for _, value in self.seen].count(-9.0) == 1
            return None if first else answer

    sites = {"north": Erring(bad_at=1), "south": Late(bad_at=1), "east": Late(bad_at=1)}
    record, _ = run(
        sites,
        rounds=3,
        rollback_margin=0.05,
        screening={"max_norm_ratio": None},
        quorum={"attempts": 2, "backoff_seconds": 0},
    )
    assert record.rounds[1].rolled_back
    assert record.rounds[2].attempts == 2


def test_a_model_is_the_best_only_once_no_later_score_can_drop_it(run, monkeypatch):
    """North alone scores round 1's model in round 2, which is skipped; others find it worse in round 3."""

    class Late(Site):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            return None if (task, model.current_round) == (TRAIN, 1) else answer

    combine, rounds = ServerFedAvg.combine, []

    def combine_not_in_round_2(self):
        rounds.append(len(rounds))
        if len(rounds) == 2:
            raise RejectedUpdate("a site was lost", code=RefusalCode.ROUND_OPENED)
        return combine(self)

    monkeypatch.setattr(ServerFedAvg, "combine", combine_not_in_round_2)
    worse = {0: 0.9}
    sites = {"north": Site(), "south": Late(), "east": Late()}
    for site in sites.values():
        site.dice = lambda w: worse.get(round(w), 0.1)
    record, engine = run(sites, min_sites=1, rounds=3, rollback_margin=0.05)
    assert record.status == "finished"
    assert [bool(one.rolled_back) for one in record.rounds] == [True, True, True]
    assert record.best_round is None
    assert not (engine.run_folder / "best_model.safetensors").exists()


def test_a_job_without_a_final_model_tells_no_hospital_that_it_has_no_part_in_it(run):
    class Mute(Site):
        def __call__(self, task, model):
            return None if task == TRAIN else super().__call__(task, model)

    record, _ = run({"north": Site(), "south": Site(), "east": Mute()}, min_sites=3)
    assert record.status == "failed"
    assert record.rounds[0].sites["north"].outcome == "trained"
    assert determine_outcome(record).kind == "failure"
    assert RefusalCode.NO_UPDATE not in {one.code for one in determine_outcome(record).reasons}


def test_one_site_can_t_bring_a_round_down(run):
    liar = Site(dice=lambda w: 0.0 if w == 2 else 1.0)
    record, engine = run({"liar": liar, "north": Site(), "south": Site()}, rollback_margin=0.05)
    assert [one.rolled_back for one in record.rounds] == [None] * 3
    assert saved(engine)[0] == 3
