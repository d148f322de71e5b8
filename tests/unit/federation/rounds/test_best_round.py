"""The controller's choice of the best round."""

from federation.rehearsal import Site, saved
from federation.troubled_sites import Absent, Attacker, Recovering, Refusing


def test_the_best_round_is_the_one_whose_own_model_scored_best(run):
    # The untrained model looks best of all, but it is no result.
    dice = {0: 0.9, 1: 0.2, 2: 0.8, 3: 0.5}
    record, engine = run({"north": Site(dice=dice.__getitem__), "south": Site(dice=dice.__getitem__)})
    assert record.best_round == 2
    assert saved(engine, "best_model") == (2, 2)
    assert saved(engine) == (3, 3)


def test_the_final_model_can_be_the_best(run):
    record, engine = run({"north": Site(), "south": Site()})
    assert record.best_round == 3
    assert saved(engine, "best_model") == (3, 3)


def test_a_hard_hospital_that_is_away_does_not_make_a_round_the_best(run):
    dice = {0: 0, 1: 0.7, 2: 0.7, 3: 0.69}
    clinic = Absent([2], step=None, cases=0, dice=lambda w: dice[w] / 10)
    record, engine = run({"north": Site(dice=dice.get), "south": Site(dice=dice.get), "clinic": clinic})
    assert record.best_round == 1
    assert saved(engine, "best_model") == (1, 1)


def test_the_model_of_the_last_round_that_counted_can_be_the_best_of_a_job_that_failed(run):
    record, engine = run({"north": Site(), "south": Refusing(rounds=[2]), "east": Refusing(rounds=[2])})
    assert record.status == "failed"
    assert record.best_round == 1  # one site's scores are no comparison
    sites = {"north": Site(), "south": Site(), "east": Refusing(rounds=[2])}
    record, engine = run(sites, min_sites=3)
    assert record.status == "failed"
    assert record.best_round == 2
    assert saved(engine, "best_model") == (2, 2)


def test_scores_that_came_with_a_failed_attempt_are_kept(run):
    """In the first attempt the hospital without an update evaluates; in the second one it is away."""

    class Once(Absent):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            return None if [value for _, value in self.seen].count(1.0) == 2 else answer

    sites = {"north": Site(), "south": Recovering(0), "clinic": Once([], step=None, cases=0)}
    sites["south"].failures_at = 1
    record, _ = run(sites, rounds=2, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.rounds[1].attempts == 2
    assert record.rounds[0].scores.keys() == {"north", "south", "clinic"}


def test_of_two_sites_the_mean_of_the_differences_chooses_the_best_round(run):
    north = Site(dice=lambda w: {0: 0, 1: 0.9, 2: 0.5}[w])
    clinic = Site(step=None, cases=0, dice=lambda w: {0: 0, 1: 0.1, 2: 0.6}[w])
    record, _ = run({"north": north, "clinic": clinic}, rounds=2, min_sites=1)
    assert record.best_round == 2
    assert record.rounds[0].sites["clinic"].outcome == "evaluated"


def test_an_excluded_site_s_scores_choose_no_round(run):
    evil = Attacker(10)
    evil.dice = lambda w: 0.0 if w == 5 else 1.0
    north, south = (Site(dice=lambda w: 0.1 * w), Site(dice=lambda w: 0.5))
    record, _ = run({"evil": evil, "north": north, "south": south}, rounds=5)
    assert record.excluded == ["evil"]
    assert record.final_scores["evil"]["dice"] == 0
    assert record.best_round == 5
