import pytest
from rich.console import Console

from consilium.errors import RefusalCode
from consilium.records.federation import Resumption
from consilium.records.job_status import Interruption, JobStatus
from consilium.records.progress import Ended, EndReason, JobProgress, LastCheckpoint, Problem, SiteProgress
from consilium.report.status.job import print_job, render_job

NOW = 1_800_000_000.0
JOB = "64e0768a-8b1b-4485-b631-356669f074e3"
OLD = "96355a0a-69ed-44d1-bebe-280e0346ada6"


def running(**changes):
    refusal = Problem(
        reason="versions do not fit: nvflare 2.8", code="versions", task="train", round=2, time=NOW - 500
    )
    progress = JobProgress(
        round=3,
        rounds=6,
        started=NOW - 1000,
        round_started=NOW - 30,
        round_seconds=100.0,
        task="train",
        until=NOW + 600,
        now=NOW,
        sites={
            "aster": SiteProgress(
                state="sent", since=NOW - 5, heard=NOW - 5, answer="taken", used=38, left_out=3
            ),
            "birch": SiteProgress(
                state="training", done=12, total=40, since=NOW - 30, heard=NOW - 2, answer="awaited"
            ),
            "dahlia": SiteProgress(state="declined", since=NOW - 20, answer="refused", problem=refusal),
        },
        checkpoint=LastCheckpoint(round=2, time=NOW - 31),
        resumed=[Resumption(job=OLD, after_round=1)],
    )
    return JobStatus(
        job_id=JOB, name="brain_tumor_fedavg", status="RUNNING", progress=progress.model_copy(update=changes)
    )


def shown(job):
    console = Console(width=300, highlight=False)
    with console.capture() as capture:
        console.print(render_job(job))
    return capture.get()


def test_in_a_pipe_each_site_has_a_line_of_its_own_with_its_whole_name(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = f"hospital-of-the-{'very-' * 9}long-name"
    sites = {**running().progress.sites, name: running().progress.sites["dahlia"]}
    print_job(running(sites=sites))
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if name in line]
    assert line.startswith(f"  {name}: its answer does not count, since ")
    assert "versions do not fit: nvflare 2.8 -> install the federation's versions" in line
    assert sum(line.startswith("  aster: ") for line in lines) == 1
    assert all(line == line.rstrip() for line in lines)


def test_a_table_without_a_problem_has_no_column_for_it_and_a_narrow_terminal_has_no_table(
    capsys, monkeypatch
):
    sites = {"aster": running().progress.sites["aster"]}
    assert "last problem" in shown(running())
    assert "last problem" not in shown(running(sites=sites))
    monkeypatch.setattr(Console, "is_terminal", property(lambda console: True))
    monkeypatch.setattr(Console, "width", property(lambda console: 60))
    print_job(running(sites=sites))
    assert "  aster: answered, since " in capsys.readouterr().out


def test_after_the_last_round_no_time_left_is_reckoned():
    reported = shown(running(task="local_only", round=6))
    assert "after round 6 of 6, every site trains a model alone, to compare with\n" in reported


def test_an_aborted_job_names_who_aborted_it_and_when():
    job = JobStatus(
        job_id=JOB,
        name="brain_tumor_fedavg",
        status="FINISHED:ABORTED",
        aborted={"by": "it@north.example", "time": NOW},
        ended=Ended(
            kind="failure",
            reasons=[EndReason(text="aborted in round 2", code=RefusalCode.JOB_ABORTED)],
            time=NOW,
        ),
    )
    assert "aborted by it@north.example, 2027-01-15" in shown(job)
    assert "aborted in round 2 (job_aborted) -> nothing: a user aborted it" in shown(job)
    assert job.as_json()["aborted"] == {"by": "it@north.example", "time": NOW}
    unknown = job.model_copy(update={"aborted": None})
    assert "aborted; by whom, only the server's audit.log says" in shown(unknown)


def test_the_deadline_of_a_job_is_shown_and_nobody_is_waited_for_without_end():
    assert "the job's deadline: 2027-01-15" in shown(running(deadline=NOW + 3 * 3600))
    assert ", in 3 h 0 min" in shown(running(deadline=NOW + 3 * 3600))
    assert "waiting for birch as long as they send heartbeats" in shown(running(until=None))


def test_a_running_job_in_words():
    reported = shown(running())
    assert "round 3 of 6, training, about 6 min left" in reported
    assert "waiting for birch until" in reported
    assert "in 10 min" in reported
    assert "last checkpoint: after round 2" in reported
    assert f"resumed from job {OLD} after its round 1" in reported
    assert "training 12/40" in reported
    assert "38 of 41" in reported
    assert "versions do not fit: nvflare 2.8" in reported
    assert "-> install the federation's versions" in reported


def test_a_site_that_has_fallen_silent_is_reported_as_such():
    sites = {"birch": SiteProgress(state="training", since=NOW - 400, heard=NOW - 300, answer="awaited")}
    assert "training, silent for 5 min" in shown(running(sites=sites))


def test_json_has_what_follows_from_the_state():
    content = running().as_json()
    assert content["progress"]["awaited"] == ["birch"]
    assert content["progress"]["seconds_left"] == 370
    assert content["progress"]["checkpoint"] == {"round": 2, "time": NOW - 31, "seconds": None}
    assert "install" in content["progress"]["sites"]["dahlia"]["problem"]["remedy"]


@pytest.mark.parametrize(
    ("kind", "status", "wrong"),
    [
        ("success", "FINISHED:COMPLETED", False),
        ("partial", "FINISHED:COMPLETED", True),
        ("failure", "FINISHED:EXECUTION_EXCEPTION", True),
        (None, "FINISHED:COMPLETED", False),
        (None, "FINISHED:ABORTED", True),
        (None, "RUNNING", False),
    ],
)
def test_whether_a_job_went_wrong(kind, status, wrong):
    ended = kind and Ended(kind=kind, reasons=[EndReason(text="round 2: birch is not part of it")], time=NOW)
    job = JobStatus(job_id=JOB, name="brain_tumor_fedavg", status=status, ended=ended)
    assert job.went_wrong == wrong
    if kind:
        assert kind in shown(job)
        assert "birch is not part of it" in shown(job)


@pytest.mark.parametrize(
    ("successor", "reported"),
    [
        (None, "continues automatically when enough sites are connected"),
        (OLD, f"job {OLD} continues from there"),
        ("nobody", "does not continue automatically"),
    ],
)
def test_an_interrupted_job_says_what_is_kept_and_which_job_resumes_it(successor, reported):
    interruption = Interruption(
        reason="the server stopped while the job ran", durable_round=4, continued_by=successor
    )
    job = JobStatus(
        job_id=JOB, name="brain_tumor_fedavg", status="FINISHED:ABNORMAL", interruption=interruption
    )
    assert "round 4 and all before it are kept" in shown(job)
    assert reported in shown(job)


def test_nothing_that_another_machine_says_is_markup():
    sites = {"birch": SiteProgress(state="[red]x[/red]", since=NOW)}
    assert "[red]x[/red]" in shown(running(sites=sites))
