"""Rounds that the server makes durable."""

import errno

import pytest
from nvflare.apis.fl_constant import SystemConfigs
from nvflare.fuel.utils.config_service import ConfigService

from consilium.errors import ConfigurationError
from consilium.federation.message_names import CHECKPOINT_EVENT, TRAIN
from consilium.federation.rounds.checkpoints import CheckpointPlace
from consilium.learning import checkpoints
from federation.rehearsal import panics

from .interruption import (
    FIRST,
    SECOND,
    interrupt,
    store,
)


def test_the_last_rounds_and_the_best_are_kept(run_job, tmp_path):
    run_job(FIRST)
    assert store(tmp_path, FIRST).numbers() == [2, 3, 4]


def test_everybody_hears_of_a_durable_round(run_job):
    _, engine = run_job(FIRST)
    reported = [data for event, data in engine.events if event == CHECKPOINT_EVENT]
    assert [data["round"] for data in reported] == [1, 2, 3, 4]
    assert all(data["seconds"] >= 0 and data["time"] > 0 for data in reported)


def test_a_torn_round_is_passed_over(run_job, tmp_path):
    interrupt(run_job, FIRST, TRAIN, 3)
    (tmp_path / "kept" / FIRST / "round_000003.json").write_text("{")
    record, _ = run_job(SECOND, resume=FIRST)
    assert record.status == "finished"
    assert record.resumed[0].after_round == 2


def test_a_full_disk_does_not_stop_the_job(run_job, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_model", full)
    record, engine = run_job(FIRST)
    assert record.status == "finished"
    assert not [event for event, _ in engine.events if event == CHECKPOINT_EVENT]
    assert "could not be made durable (No space left on device)" in caplog.text


def test_a_server_that_names_no_place_keeps_nothing(run_job, tmp_path, monkeypatch):
    monkeypatch.setitem(ConfigService._sections, SystemConfigs.RESOURCES_CONF, {})
    record, _ = run_job(FIRST)
    assert record.status == "finished"
    assert not (tmp_path / "kept").exists()
    _, engine = run_job(SECOND, resume=FIRST)
    assert "keeps no checkpoints" in panics(engine)[0]


def test_a_place_that_can_t_be_used_is_named(run_job, place):
    place["kep"] = 1
    with pytest.raises(ConfigurationError, match="keep"):
        CheckpointPlace.parse(place, source="local/resources.json")
