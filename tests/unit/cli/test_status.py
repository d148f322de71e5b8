import json

import pytest

from consilium.guard import kit_processes
from consilium.guard.kit_processes import KitProcess
from consilium.records.job_status import SecondStart
from consilium.records.site_connection import save_second_start
from consilium.records.site_status import SiteStatus


def keep(kit, number, **changes):
    status = SiteStatus(
        job_id=f"job-{number}", job="brain_tumor_fedavg", log="log.txt", since=number, updated=number
    )
    status.model_copy(update=changes).save(kit)


def test_the_hospital_s_running_job_is_shown(run, tmp_path):
    keep(tmp_path, 1, ended=1.0, outcome="success")
    keep(tmp_path, 2, state="training", done=3, total=40, round=2, rounds=10)
    code, out, _ = run("status", "--site", tmp_path)
    assert code == 0
    assert "brain_tumor_fedavg job-2: round 2 of 10; training 3 of 40" in out
    assert "job-1" not in out
    code, out, _ = run("status", "--site", tmp_path, "job-1", "--json")
    assert (code, json.loads(out)[0]["outcome"]) == (0, "success")


def test_whether_the_site_runs_is_said_with_and_without_a_job(run, tmp_path, monkeypatch):
    process = KitProcess(tmp_path, 4711, is_parent=True, since=0.0)
    monkeypatch.setattr(kit_processes, "find_processes", lambda site: [process])
    code, _, err = run("status", "--site", tmp_path)
    assert code == 0
    assert "runs: process 4711, since " in err
    assert "no job has run" in err
    code, out, _ = run("status", "--site", tmp_path, "--json")
    assert (code, json.loads(out)) == (0, [])
    keep(tmp_path, 1, ended=1.0, outcome="success")
    assert "runs: process 4711" in run("status", "--site", tmp_path)[1]
    monkeypatch.setattr(kit_processes, "find_processes", lambda site: [])
    assert "nothing runs from" in run("status", "--site", tmp_path)[1]


def test_a_site_that_was_started_twice_or_disabled_is_reported(run, tmp_path):
    keep(tmp_path, 1, ended=1.0, outcome="success")
    assert run("status", "--site", tmp_path)[2] == ""
    save_second_start(tmp_path, SecondStart(first="process 11 at 10.0.0.5", second="process 13", since=1.0))
    (tmp_path / "log.txt").write_text(f"Client '{tmp_path.name}' is disabled\n")
    code, out, err = run("status", "--site", tmp_path, "--json")
    assert (code, len(json.loads(out))) == (0, 1)
    assert f"site {tmp_path.name} was started twice: process 11 at 10.0.0.5 works" in err
    assert "it was disabled or removed there" in err


@pytest.mark.parametrize(("outcome", "code"), [("success", 0), ("partial", 1), ("failure", 1), (None, 1)])
def test_the_exit_code_is_that_of_the_last_job(run, tmp_path, outcome, code):
    keep(tmp_path, 1, ended=1.0, outcome=outcome)
    assert run("status", "--site", tmp_path)[0] == code


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ((), "either --kit DIR"),
        (("--kit", ".", "--site", "."), "either --kit DIR"),
        (("--kit", "."), "not the startup kit of a user"),
        (("--site", "nowhere"), "nowhere is not a folder"),
        (
            ("--site", "."),
            "no job of Consilium has run at the site of .; nothing runs from . on this machine",
        ),
        (("--site", ".", "abc"), "job abc has not run"),
    ],
)
def test_what_can_t_be_shown_says_what_to_do(run, tmp_path, monkeypatch, arguments, reported):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("status", *arguments)
    assert code == 2
    assert reported in err


def test_help_teaches_both_readers(run):
    _, out, _ = run("status", "--help")
    assert "$ consilium status --kit" in out
    assert "$ consilium status --site" in out
    assert "Exit code: 0" in out
