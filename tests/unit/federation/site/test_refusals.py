"""Reasons that a site gives the server, and what stays in its own log."""

import logging
import os
import sys

import pytest
from data.hospital import Hospital
from learning.tiny import site
from nvflare.apis.fl_constant import ReturnCode

from consilium.errors import ConfigurationError, DataError, SiteRefusal, TrainingError
from consilium.federation.message_names import (
    CODE_HEADER,
    LEFT_OUT_HEADER,
    PREPARE,
    REASON_HEADER,
    TRAIN,
    VALIDATE,
)
from consilium.federation.site import executor as executor_module
from consilium.federation.site import start_participant

from .answers import PATIENT, answer_of, at_site, execute


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SiteRefusal("no usable labeled case: 3 left out"), "no usable labeled case: 3 left out"),
        (DataError(f"/mnt/ward/{PATIENT} is empty"), "DataError: the reason is in the site's log"),
        (ConfigurationError(f"/mnt/ward/{PATIENT}"), "ConfigurationError: the reason is in the site's log"),
        (TrainingError(f"/mnt/ward/{PATIENT}"), "TrainingError: the reason is in the site's log"),
        (KeyError(f"/mnt/ward/{PATIENT}"), "unexpected KeyError: the traceback is in the site's log"),
        (
            FileNotFoundError(2, "No such file", f"/mnt/ward/{PATIENT}/t1.nii"),
            "unexpected FileNotFoundError: the traceback is in the site's log",
        ),
        (MemoryError(f"/mnt/ward/{PATIENT}"), "unexpected MemoryError: the traceback is in the site's log"),
    ],
)
@pytest.mark.parametrize("task", [PREPARE, TRAIN, VALIDATE])
def test_whatever_fails_is_answered_with_a_reason_that_names_nobody(
    executor, engine, tmp_path, monkeypatch, caplog, task, error, reason
):
    def fail(*args, **options):
        raise error

    at_site(engine, site(tmp_path, []))
    monkeypatch.setattr(start_participant, "prepare_site", fail)
    with caplog.at_level(logging.INFO):
        reply = execute(executor, engine, task)
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(REASON_HEADER) == reason
    left_the_site = f"{dict(reply)} {engine.events}"
    assert PATIENT not in left_the_site
    assert "/mnt" not in left_the_site
    assert str(error) in caplog.text  # the site's own log has all of it


def test_a_refusal_says_its_kind_and_counts_what_was_left_out(executor, engine, tmp_path):
    settings = site(tmp_path, [], min_count=2)
    hospital = Hospital(settings.dataset)
    for patient in ("P1", "P2"):
        hospital.brats(patient, values=(0, 7))
    hospital.brats("P3", without=("t1",))
    at_site(engine, settings)
    reply = execute(executor, engine, PREPARE)
    assert reply.get_header(CODE_HEADER) == "no_labeled_case"
    assert reply.get_header(LEFT_OUT_HEADER) == {"bad_label_value": 2, "missing_image": None}


def test_a_process_that_can_t_answer_any_more_ends(executor, engine, tmp_path, monkeypatch, caplog):
    def fail(*args, **options):
        raise MemoryError

    at_site(engine, site(tmp_path, []))
    monkeypatch.setattr(start_participant, "prepare_site", fail)
    monkeypatch.setattr(executor_module, "can_start_threads", lambda: False)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="1"), caplog.at_level(logging.INFO):
        execute(executor, engine, TRAIN)
    assert "can't answer" in caplog.text
    assert "MemoryError" in caplog.text


def test_patients_left_out_are_named_in_the_site_s_log_and_nowhere_else(executor, engine, tmp_path, caplog):
    settings = site(tmp_path / "ward", ["P1", "P2"])
    Hospital(settings.dataset).brats(PATIENT, values=(0, 7))
    at_site(engine, settings)
    with caplog.at_level(logging.INFO):
        reply = execute(executor, engine, TRAIN)
    assert f"case {PATIENT} is left out: bad_label_value" in caplog.text
    answer, report = answer_of(reply)
    assert report.left_out == {"bad_label_value": 1}
    left_the_site = f"{answer.meta} {answer.metrics} {reply.get('__headers__')} {engine.events}"
    assert PATIENT not in left_the_site
    assert "ward" not in left_the_site


def test_a_site_without_its_settings_declines_and_stays_alive(executor, engine, tmp_path):
    reply = execute(executor, engine, TRAIN)
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(REASON_HEADER) == "ConfigurationError: the reason is in the site's log"
    at_site(engine, site(tmp_path, ["P1"]))  # the hospital fixes it
    answer_of(execute(executor, engine, TRAIN))
