"""What happens before the first round: admission, preparation of the sites, whether enough can train."""

import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply

from consilium.federation.message_names import (
    PREPARE,
    REASON_HEADER,
    TRAIN,
)
from consilium.federation.rounds.job_admission import readiness_path
from federation.flare import Engine
from federation.readiness import readiness
from federation.rehearsal import ONE_ATTEMPT, Site, panics, saved
from federation.troubled_sites import Refusing


def test_every_site_prepares_before_the_first_round(run):
    record, _ = run({"north": Site(), "south": Site(), "clinic": Site(step=None)}, rounds=1)
    assert {site.outcome for site in record.preparation.values()} == {"ready"}
    assert record.preparation["clinic"].report.role == "evaluates"
    assert record.preparation_seconds >= 0
    assert len(record.rounds) == 1


def test_a_site_that_could_not_prepare_is_asked_again(run):
    class Late(Site):
        def __call__(self, task, model):
            if task == PREPARE:
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "cache too small"})
            return super().__call__(task, model)

    record, _ = run({"north": Site(), "south": Site(), "east": Late()}, rounds=1)
    assert record.preparation["east"].reason == "cache too small"
    assert record.rounds[0].sites["east"].outcome == "trained"


def test_an_update_that_nobody_asked_for_is_not_taken(run):
    class Eager(Site):
        def __call__(self, task, model):
            return super().__call__(TRAIN, model)

    record, engine = run({"north": Site(), "south": Site(), "east": Eager(step=5.0)}, rounds=1)
    assert record.preparation["east"].outcome == "refused"
    assert "not requested" in record.preparation["east"].reason
    assert record.final_sites["east"].outcome == "refused"
    assert saved(engine)[0] == pytest.approx(7 / 3)


def test_too_few_sites_that_can_train_end_the_job_before_anybody_trains(run):
    north, reason = Site(), "versions do not fit: consilium 0.2.0 here and 0.1.0 there"
    record, engine = run({"north": north, "south": Refusing(reason=reason), "clinic": Site(step=None)})
    assert record.status == "failed"
    assert record.reason == (
        f"1 site can train, and min_sites is 2; clinic: it only evaluates; south: {reason}"
    )
    assert panics(engine) == [record.reason]
    assert record.rounds == []
    assert [task for task, _ in north.seen] == [PREPARE]


def test_a_job_that_demands_a_readiness_check_asks_nobody_without_one(run):
    north = Site()
    record, engine = run({"north": north, "south": Site()}, admission={"min_ready": 2})
    assert record.status == "failed"
    assert "there is no readiness check on this server; submit the job brain_tumor_check" in record.reason
    assert panics(engine) == [record.reason]
    assert north.seen == []


def test_a_job_that_demands_a_readiness_check_starts_with_one(run, tmp_path):
    ready = readiness(north="train", south="train")
    ready.save(readiness_path(Engine(tmp_path).workspace, "brain_tumor"))
    record, _ = run({"north": Site(), "south": Site()}, rounds=1, admission={"min_ready": 2})
    assert record.status == "finished"
    assert record.settings["admission"] == {"min_ready": 2}


def test_a_mandatory_site_that_can_t_train_is_missed_before_anybody_trains(run):
    sites = {"north": Site(), "south": Site(), "clinic": Site(step=None, cases=0)}
    record, _ = run(sites, quorum={**ONE_ATTEMPT, "mandatory_sites": ["clinic"]})
    assert record.rounds == []
    assert "2 sites can train, without mandatory clinic" in record.reason
