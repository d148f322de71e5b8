import json
import zipfile
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from federation.job_files import JOBS, files_of
from nvflare.fuel.hci.server.authz import AuthzFilter
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.private.fed.app.deployer import server_deployer
from nvflare.private.fed.server import admin, job_cmds, job_runner

from consilium.errors import ConfigurationError
from consilium.guard import server_guard
from consilium.guard.archive import MAX_BYTES, MAX_ENTRIES
from consilium.guard.authenticated_server import AuthenticatedServer
from consilium.guard.deployment_check import CheckedServerDeployer
from consilium.guard.server_guard import RecordedAuthorization, ServerGuard, SubmittedJobValidator

pytestmark = pytest.mark.usefixtures("allow_list")


def archive(tmp_path, entries):
    path = tmp_path / "upload"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in entries.items():
            zipped.writestr(name, content)
    return path


def job_entries():
    files = files_of(JOBS[0])
    entries = {f"{JOBS[0].name}/{name}": path.read_bytes() for name, path in files.items()}
    # FLARE looks for the entries of the folders, which its console writes.
    return {f"{JOBS[0].name}/app/": b"", f"{JOBS[0].name}/app/config/": b"", **entries}


def test_a_submitted_job_in_order_is_accepted(tmp_path, audited):
    upload = archive(tmp_path, job_entries())
    valid, reason, meta = SubmittedJobValidator().validate(JOBS[0].name, str(upload))
    assert (valid, reason, meta["name"]) == (True, "", JOBS[0].name)
    assert (audited, upload.exists()) == ([], True)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"app/custom/x.py": b"import os"}, "contains code"),
        ({"app/huge": b"0" * (MAX_BYTES + 1)}, f"at most {MAX_BYTES} bytes in"),
        ({f"app/{index}": b"" for index in range(MAX_ENTRIES + 1)}, f"in {MAX_ENTRIES} are allowed"),
        ({"app/config/more.json": b"{}"}, "it holds 'app/config/more.json'"),
        ({"../../etc/cron.d/x": b""}, "has a name other than"),
        ({"app/x\n[E:1][U:admin][A:forged]": b""}, "has a name other than"),
    ],
)
def test_a_submitted_job_that_is_more_is_rejected_recorded_and_removed(tmp_path, audited, extra, said):
    name = JOBS[0].name
    upload = archive(tmp_path, {**job_entries(), **{f"{name}/{key}": value for key, value in extra.items()}})
    valid, reason, _ = SubmittedJobValidator().validate(name, str(upload))
    assert not valid
    assert said in reason
    assert audited[0]["action"] == "job_rejected"
    assert said in audited[0]["msg"]
    assert "\n" not in audited[0]["msg"]
    assert not upload.exists()


@pytest.mark.parametrize("name", ["other", "", ".", "..", "brain_tumor_check/app", "/"])
def test_a_job_of_another_folder_is_rejected(tmp_path, audited, name):
    valid, reason, _ = SubmittedJobValidator().validate(name, str(archive(tmp_path, job_entries())))
    assert not valid
    assert "not one folder of the job's name" in reason


def test_an_id_that_the_submitter_chose_is_rejected(tmp_path, audited):
    entries, meta = job_entries(), f"{JOBS[0].name}/meta.json"
    entries[meta] = json.dumps({**json.loads(entries[meta]), "job_id": "local"}).encode()
    valid, reason, _ = SubmittedJobValidator().validate(JOBS[0].name, str(archive(tmp_path, entries)))
    assert not valid
    assert "only the server gives a job its id" in reason


def test_an_archive_that_is_none_or_too_large_is_rejected_unopened(tmp_path, audited):
    for content, said in ((b"x" * (MAX_BYTES + 1), "its archive has"), (b"no archive", "can't be read")):
        upload = tmp_path / "upload"
        upload.write_bytes(content)
        valid, reason, _ = SubmittedJobValidator().validate("job", str(upload))
        assert not valid
        assert said in reason


class Connection:
    """What a filter of FLARE's server sees of a command."""

    command = "submit_job somewhere"

    def __init__(self, upload):
        self.properties = {ConnProps.USER_NAME: "it@north.example", ConnProps.FILE_LOCATION: str(upload)}

    def get_prop(self, name, default=None):
        return self.properties.get(name, default)


@pytest.mark.parametrize("authorized", [True, False])
def test_a_rejected_command_is_recorded_and_its_upload_removed(tmp_path, audited, monkeypatch, authorized):
    monkeypatch.setattr(AuthzFilter, "pre_command", lambda self, conn, args: authorized)
    upload = tmp_path / "upload"
    upload.write_bytes(b"x")
    assert RecordedAuthorization().pre_command(Connection(upload), ["submit_job"]) is authorized
    assert upload.exists() is authorized
    refusal = {"user": "it@north.example", "action": "command_right", "msg": "submit_job somewhere"}
    assert audited == ([] if authorized else [refusal])


class Jobs:
    """FLARE's store of jobs, as far as an abort looks at it."""

    def __init__(self, status):
        self.job = SimpleNamespace(meta={"status": status})

    def get_job(self, job_id, fl_ctx):
        return self.job if job_id == "job-1" else None

    def update_meta(self, job_id, meta, fl_ctx):
        self.job.meta |= meta


@pytest.mark.parametrize(
    ("command", "status", "authorized", "noted"),
    [
        ("abort_job", "RUNNING", True, True),
        ("abort_job", "SUBMITTED", True, True),
        ("abort_job", "FINISHED:COMPLETED", True, False),
        ("abort_job", "RUNNING", False, False),
        ("show_stats", "RUNNING", True, False),
    ],
)
def test_who_aborts_a_job_is_noted(tmp_path, audited, monkeypatch, command, status, authorized, noted):
    monkeypatch.setattr(AuthzFilter, "pre_command", lambda self, conn, args: authorized)
    connection, jobs = Connection(tmp_path / "none"), Jobs(status)
    connection.properties["job_id"] = "job-1"
    connection.app_ctx = SimpleNamespace(job_def_manager=jobs, new_context=nullcontext)
    RecordedAuthorization().pre_command(connection, [command, "job-1"])
    assert (jobs.job.meta.get("aborted", {}).get("by") == "it@north.example") is noted


def test_the_guard_takes_the_place_of_flares_own_checks(monkeypatch):
    monkeypatch.setattr(job_cmds, "JobMetaValidator", job_cmds.JobMetaValidator)
    monkeypatch.setattr(admin, "AuthzFilter", admin.AuthzFilter)
    monkeypatch.setattr(server_deployer, "FederatedServer", server_deployer.FederatedServer)
    monkeypatch.setattr(job_runner, "AppDeployer", job_runner.AppDeployer)
    started = []
    monkeypatch.setattr(server_guard, "set_up_server_process", lambda: started.append(1))
    ServerGuard()
    assert started
    assert job_runner.AppDeployer is CheckedServerDeployer
    assert (job_cmds.JobMetaValidator, admin.AuthzFilter) == (SubmittedJobValidator, RecordedAuthorization)
    assert server_deployer.FederatedServer is AuthenticatedServer
    ServerGuard()  # in a process that builds its components twice


def test_a_server_whose_checks_are_elsewhere_does_not_start(monkeypatch):
    monkeypatch.setattr(job_cmds, "JobMetaValidator", object)
    with pytest.raises(ConfigurationError, match=r"install nvflare 2\.9"):
        ServerGuard()
