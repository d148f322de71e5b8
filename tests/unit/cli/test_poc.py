import shutil
from functools import partial

import pytest
from federation.readiness import readiness, site
from report.statistics.records import record as statistics

from consilium.records.federation import FederationRecord
from consilium.tasks import get_task


@pytest.fixture
def run(run, handlers):
    """Type a command in a wide terminal; the tests' own signal handlers come back afterwards."""
    return partial(run, columns=300)


@pytest.mark.parametrize("command", ["submit", "status", "down"])
def test_without_a_poc_the_next_command_is_named(run, tmp_path, command):
    job = ("jobs/brain_tumor_fedavg",) if command == "submit" else ()
    code, _, err = run("poc", command, *job, "--out", tmp_path / "poc")
    assert code == 2
    assert f"`consilium poc up --out {tmp_path / 'poc'}`" in err


@pytest.fixture
def stopped(tmp_path):
    """A folder with a POC that does not run."""
    for name in ("flare", "home"):
        (tmp_path / "poc" / name).mkdir(parents=True)
    shutil.copy("poc/project.yml", tmp_path / "poc/project.yml")
    return tmp_path / "poc"


@pytest.mark.parametrize(("command", "ended"), [("submit", 2), ("status", 1)])
def test_where_nothing_runs_the_next_command_is_named(run, stopped, command, ended):
    code, out, err = run("poc", command, "--out", stopped)
    assert code == ended
    assert f"`consilium poc up --out {stopped}` starts it" in out + err


@pytest.mark.parametrize(
    ("command", "place", "said"),
    [
        ("up", "find_hospitals", "nothing runs on"),
        ("submit", "run_job", "a submitted job continues"),
        ("status", "Poc.status", "the POC is as it was"),
        ("run", "run_all", "nothing runs on"),
    ],
)
def test_after_ctrl_c_it_says_what_runs_on_and_how_to_continue(
    run, stopped, monkeypatch, command, place, said
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("consilium.poc.federation.Poc.require_server", lambda self, **options: None)
    module = "federation" if "." in place else "trial"
    monkeypatch.setattr(f"consilium.poc.{module}.{place}", interrupted)
    code, _, err = run("poc", command, "--out", stopped)
    assert code == 130
    assert said in err


def test_a_file_is_no_folder_for_a_poc(run, stopped):
    code, _, err = run("poc", "up", "--out", stopped / "project.yml")
    assert code == 2
    assert "is a file" in err


def test_a_missing_folder_of_hospitals_is_named(run, tmp_path):
    code, _, err = run("poc", "up", "--out", tmp_path / "poc", "--hospitals", tmp_path / "nowhere")
    assert code == 2
    assert f"there is no folder {tmp_path / 'nowhere'}" in err
    assert "aster, birch, dahlia" in err


def test_hospitals_without_a_site_are_rejected_before_anything_starts(run, tmp_path):
    code, _, err = run("poc", "up", "--out", tmp_path / "poc", "--hospitals", tmp_path)
    assert code == 2
    assert "no subfolder aster, birch, dahlia" in err
    assert not (tmp_path / "poc").exists()


@pytest.mark.usefixtures("without_drawings")
def test_a_report_of_a_download_tells_its_outcome(run, tmp_path):
    workspace = tmp_path / "job-1/workspace"
    workspace.mkdir(parents=True)
    record = FederationRecord(
        job="brain_tumor_fedavg",
        task="brain_tumor",
        title="Brain tumor segmentation",
        metrics=get_task("brain_tumor").evaluation.metrics,
        status="failed",
        reason="too few sites",
        rounds_planned=2,
        settings={},
    )
    record.save(workspace)
    code, out, err = run("report", tmp_path / "job-1", "--out", tmp_path / "report")
    assert code == 1
    assert "failure" in err
    assert "too few sites" in err
    assert out.strip() == str(tmp_path / "report/index.html")


@pytest.mark.parametrize(("hapless", "code", "word"), [("train", 0, "success"), ("nothing", 1, "partial")])
def test_a_report_of_a_check_shows_the_table_and_whether_all_are_ready(run, tmp_path, hapless, code, word):
    answer = site(hapless, left_out={"truncated": None})
    (tmp_path / "readiness.json").write_text(readiness(north="train", hapless=answer).model_dump_json())
    ended, out, err = run("report", tmp_path, "--out", tmp_path / "report")
    assert ended == code
    assert word in err
    assert "few" in err
    assert "Copy the file from its" in err
    assert out.strip() == str(tmp_path / "report/index.html")
    assert "Who is ready to train" in (tmp_path / "report/index.html").read_text()


@pytest.mark.usefixtures("without_drawings")
@pytest.mark.parametrize(("missing", "code"), [({}, 0), ({"west": "its disk is away"}, 1)])
def test_a_report_of_statistics_tells_whether_a_site_is_missing(run, tmp_path, missing, code):
    statistics({"north": 3, "south": 4}, missing=missing).save(tmp_path)
    ended, _, err = run("report", tmp_path, "--out", tmp_path / "report")
    assert ended == code
    assert ("west is not part of the statistics: its disk is away" in err) == bool(missing)
    assert "What the hospitals' data look like" in (tmp_path / "report/index.html").read_text()
