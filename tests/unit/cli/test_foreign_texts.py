"""Texts of other machines on a terminal: shown in one line as they are, and never obeyed."""

import json
from contextlib import contextmanager

import pytest
from anything import NASTY_TEXTS, shows_no_control
from nvflare.fuel.flare_api.api_spec import JobNotRunning
from report.study import federation

from consilium.errors import ConfigurationError
from consilium.federation.message_names import INTERRUPTION_META, OUTCOME_META, RESUME_META, STATS_GROUP
from consilium.federation.server import user_session
from consilium.records import site_status
from consilium.records.federation import FEDERATION_FILE
from consilium.records.readiness import READINESS_FILE
from consilium.records.site_status import STATUS_FOLDER
from consilium.simulation.display import Display

FORGED = "job 64e0768a: success"
HUGE = 10**400


def check(*texts):
    """Nothing of what was shown moves the cursor, colors, hides or forges a line, or is endless."""
    for text in texts:
        assert shows_no_control(text)
        lines = [line.strip() for line in text.splitlines()]
        assert FORGED not in lines
        assert all(len(line) <= 2100 for line in lines)


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")


class Server:
    """A server that answers what it likes."""

    def __init__(self, text):
        self.text = text

    def list_jobs(self, **filters):
        return [{"job_id": self.text, "job_name": self.text, "status": self.text}]

    def get_job_meta(self, job_id):
        return {
            "name": self.text,
            "status": self.text,
            RESUME_META: self.text,
            OUTCOME_META: {
                "kind": "failure",
                "reasons": [{"text": self.text, "code": self.text}] * 3,
                "time": 1.0,
            },
            INTERRUPTION_META: {"reason": self.text, "durable_round": 1, "continued_by": self.text},
        }

    def show_stats(self, job_id, target):
        if self.text == "gone":
            raise JobNotRunning("gone")
        problem = {"reason": self.text, "task": self.text, "round": 1, "time": 1.0}
        site = {"state": self.text, "since": 1.0, "answer": "awaited", "problem": problem}
        progress = {"started": 1.0, "task": self.text, "round": 1, "rounds": 2, "sites": {self.text: site}}
        return {"server": {STATS_GROUP: progress}}


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_status_of_a_server(run, monkeypatch, text):
    @contextmanager
    def session(kit, study):
        yield Server(text)

    monkeypatch.setattr(user_session, "open_session", session)
    _, out, err = run("status", "--kit", "kit")
    check(out, err)
    assert "failure" in out
    out = run("status", "--kit", "kit", "--json")[1]
    assert out.isascii()
    assert json.loads(out)
    if "[bold red]" in text:
        assert "[bold red]x[/] :smile:" in run("status", "--kit", "kit")[1]


@pytest.mark.quick_cases(20)
@pytest.mark.parametrize("value", [float("inf"), float("nan"), HUGE, -1.0, 1e300, "x", [1], None, True])
@pytest.mark.parametrize(
    "key", ["started", "round", "rounds", "round_seconds", "until", "now", "sites", "attempt"]
)
def test_numbers_that_a_server_makes_up_break_nothing(run, monkeypatch, key, value):
    class Mad(Server):
        def show_stats(self, job_id, target):
            progress = {"started": 1.0, "round": 1, "rounds": 2, "round_started": 1.0, "round_seconds": 5.0}
            return {"server": {STATS_GROUP: {**progress, key: value}}}

    @contextmanager
    def session(kit, study):
        yield Mad("brain_tumor_fedavg")

    monkeypatch.setattr(user_session, "open_session", session)
    code, out, err = run("status", "--kit", "kit")
    assert code in (0, 1)
    check(out, err)


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_status_at_a_hospital(run, tmp_path, text):
    text = text.encode("utf-8", "replace").decode()  # no file holds a surrogate
    status = {
        "job_id": "job-1", "job": text, "task": text, "state": text, "since": 1.0, "updated": 1.0,
        "log": "log.txt", "round": 1, "left_out": {text: 1}, "train_cases": 3, "validation_cases": 1,
        "left_out_file": text,
        "refusals": [{"by": "server", "reason": text, "task": text, "round": 1, "time": 1.0}],
        "host": "elsewhere", "process": 1, "process_started": 1.0,
    }  # fmt: skip
    (tmp_path / STATUS_FOLDER).mkdir(parents=True)
    (tmp_path / STATUS_FOLDER / "job-1.json").write_text(json.dumps(status))
    assert site_status.read_site_status(tmp_path)
    code, out, err = run("status", "--site", tmp_path)
    assert code == 0
    check(out, err)


def edit(record, text, *more):
    """Bring a text into all that a record has from others, and more where there is a place for each."""
    content = json.loads(record.model_dump_json())
    content |= {"job": text, "reason": text, "status": "failed"}
    content["rounds"][0]["rolled_back"] = text
    content["versions"] = {one: one for one in (text, *more)}
    content["rounds"][0]["sites"] |= {one: {"outcome": "refused", "reason": one} for one in (text, *more)}
    content["rounds"][0]["sites"]["aster"]["report"]["left_out"] = dict.fromkeys((text, *more), 2)
    return content


@pytest.mark.quick_cases(4)
@pytest.mark.usefixtures("without_drawings")
@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_report_of_a_training(run, tmp_path, text):
    check_report(run, tmp_path, edit(federation(), text))


@pytest.mark.long
def test_all_texts_at_once_can_be_drawn(run, tmp_path):
    check_report(run, tmp_path, edit(federation(), *NASTY_TEXTS))
    assert (tmp_path / "report/summary.pdf").read_bytes().startswith(b"%PDF")
    assert list((tmp_path / "report/figures").glob("*.svg"))


def check_report(run, tmp_path, content):
    (tmp_path / FEDERATION_FILE).write_text(json.dumps(content))
    code, out, err = run("report", tmp_path, "--out", tmp_path / "report")
    assert code == 1
    check(out, err)
    assert "<script>" not in (tmp_path / "report/index.html").read_text()


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_report_of_a_readiness_check(run, tmp_path, text):
    hardware = {"cores": 1, "memory_gib": 1.0, "free_disk_gib": 1.0}
    site = {"can": "nothing", "reason": text, "left_out": {text: 1}, "hardware": hardware}
    missing = {"west": {"reason": text, "code": text}}
    record = {"job": text, "task": "brain_tumor", "title": text, "sites": {text: site}, "missing": missing}
    (tmp_path / READINESS_FILE).write_text(json.dumps(record))
    code, out, err = run("report", tmp_path, "--out", tmp_path / "report")
    assert code == 1
    check(out, err)


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_progress_and_errors(run, monkeypatch, capsys, text):
    with Display() as display:
        display.say(text)
        display.show(text)
    check(capsys.readouterr().err)

    @contextmanager
    def session(kit, study):
        raise ConfigurationError(f"the server said {text}")
        yield

    monkeypatch.setattr(user_session, "open_session", session)
    code, out, err = run("status", "--kit", "kit")
    assert code == 2
    assert shows_no_control(out + err)
    assert len(err) < 20_000
