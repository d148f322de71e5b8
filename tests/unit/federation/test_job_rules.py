import io
import json
import zipfile
from pathlib import Path

import pytest
from nvflare.fuel.sec.audit import AuditService

from consilium.federation.job_rules import MAX_BYTES, MAX_FILES, app_fault, job_fault
from consilium.federation.job_validator import JobValidator, why_forbidden
from consilium.federation.server_guard import SubmittedJobValidator
from consilium.provisioning.policy import allowed_classes

JOBS = sorted(path.parent for path in Path(__file__).parents[3].glob("jobs/*/meta.json"))
CLIENT, SERVER = "config/config_fed_client.json", "config/config_fed_server.json"


def nothing_forbidden(class_path):
    return None


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def fault_of(content, name=CLIENT):
    return app_fault([name], lambda _: json.dumps(content).encode(), nothing_forbidden, "client")


@pytest.fixture(autouse=True)
def allow_list(monkeypatch):
    policy = {"class_allow_list": allowed_classes()}
    monkeypatch.setattr("nvflare.fuel.utils.config_service.ConfigService.get_section", lambda name: policy)


@pytest.fixture
def audited(monkeypatch):
    events = []
    monkeypatch.setattr(AuditService, "add_event", lambda **event: events.append(event))
    return events


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_job_of_the_catalog_is_in_order(job):
    files = files_of(job)
    assert job_fault(files, lambda name: files[name].read_bytes(), nothing_forbidden) is None
    files = files_of(job / "app")
    assert app_fault(files, lambda name: files[name].read_bytes(), nothing_forbidden, "server") is None


@pytest.mark.parametrize(
    "text",
    [
        "{$HOME}",
        "{WORKSPACE}",
        "{@executor:n=1}",
        "x{SITE_NAME}",
        "${secret:TOKEN}",
        "${secret:file:/run/key}",
        "${oc.env:HOME}",
        "$HOME",
    ],
)
def test_a_variable_where_a_value_belongs_is_refused(text):
    for content in ({"learning": {"network": text}}, {"learning": [1, [text]]}, {text: 1}):
        assert "not variables" in fault_of(content)


@pytest.mark.parametrize(
    "text",
    ["/data/brats", "../other", "models/../../x", "..", "~/x", "~root/x", "\\\\host\\share", "C:\\data",
     "c:/data", "a\\..\\b", "file:///etc/passwd", "https://collector.example.org/x"],
)  # fmt: skip
def test_a_place_outside_the_job_is_refused(text):
    assert "no place outside" in fault_of({"components": [{"args": {"output_path": text}}]})


@pytest.mark.parametrize(
    "text",
    ["statistics/statistics.json", "brain_tumor", "fed.analytix", "1.5 mm", "a..b", "ratio 1:2", "et al."],
)
def test_ordinary_values_pass(text):
    assert fault_of({"args": {"value": text, "more": [1, None, True, 0.5]}}) is None


@pytest.mark.parametrize(
    "path",
    [
        "consilium.simulation.process.stop_process_tree",
        "consilium.data.files.write_atomically",
        "consilium.federation.site.read_site_settings",
        "consilium.cli.main.main",
        "consilium.federation.Executor.x.y",
    ],
)
def test_only_components_of_this_package_can_be_named(path):
    for key in ("path", "class_path"):
        assert "no component for a job" in fault_of({"args": {"deep": [{key: path, "config_type": "dict"}]}})


def test_the_sites_own_list_decides_about_every_class_however_deep():
    inner = {"path": "subprocess.Popen", "args": {"args": ["id"]}, "config_type": "dict"}
    outer = {"path": "consilium.federation.executor.SiteExecutor", "args": {"learning": {"x": [inner]}}}
    fault = app_fault([CLIENT], lambda _: json.dumps(outer).encode(), why_forbidden, "client")
    assert "args.learning.x[0].path is 'subprocess.Popen'" in fault
    assert "class_allow_list" in fault


@pytest.mark.parametrize(
    "name",
    ["config/config_fed_client.conf", "config/config_fed_client.yml", "config/log_config.json",
     "resources.json", "config/x/config_fed_client.json",
     "../config/config_fed_client.json", "sitecustomize.py"],
)  # fmt: skip
def test_any_other_file_is_refused(name):
    assert name in app_fault([name], lambda _: b"{}", nothing_forbidden, "client")


def test_a_hospital_may_forbid_what_only_the_server_builds():
    content = json.dumps({"path": "nvflare.app_common.workflows.fedavg.FedAvg"}).encode()

    def forbid(class_path):
        return "forbidden here"

    assert app_fault([SERVER], lambda _: content, forbid, "client") is None
    assert "forbidden here" in app_fault([SERVER], lambda _: content, forbid, "server")


def test_code_is_refused_wherever_it_lies_in_a_job():
    for name in ("app/custom/x.py", "app/config/custom/x.py", "custom/x.py"):
        assert "brings code" in job_fault([name], lambda _: b"", nothing_forbidden)


def test_json_that_cannot_be_read_is_refused():
    for content in (b"{", b"[" * 100_000, b"\xff\xfe"):
        assert "not valid JSON" in app_fault(
            [CLIENT], lambda _, content=content: content, nothing_forbidden, "client"
        )


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
        ({"app/custom/x.py": b"import os"}, "brings code"),
        ({"app/huge": b"0" * (MAX_BYTES + 1)}, f"at most {MAX_BYTES} bytes in"),
        ({f"app/{index}": b"" for index in range(MAX_FILES + 1)}, "files are allowed"),
        ({"../../etc/cron.d/x": b""}, "holds a file"),
    ],
)
def test_a_submitted_job_that_is_more_is_refused_recorded_and_removed(tmp_path, audited, extra, said):
    name = JOBS[0].name
    upload = archive(tmp_path, {**job_entries(), **{f"{name}/{key}": value for key, value in extra.items()}})
    valid, reason, _ = SubmittedJobValidator().validate(name, str(upload))
    assert not valid
    assert said in reason
    assert audited[0]["action"] == "job refused"
    assert said in audited[0]["msg"]
    assert not upload.exists()


def test_an_archive_that_is_none_or_too_large_is_refused_unopened(tmp_path, audited):
    for content, said in ((b"x" * (MAX_BYTES + 1), "its archive has"), (b"no archive", "can't be read")):
        upload = tmp_path / "upload"
        upload.write_bytes(content)
        valid, reason, _ = SubmittedJobValidator().validate("job", str(upload))
        assert not valid
        assert said in reason


def test_a_deployed_app_is_looked_at_as_a_whole(tmp_path, audited):
    app = tmp_path / "run" / "job-1" / "app_north"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, path in files_of(JOBS[0] / "app").items():
            zipped.write(path, name)
    with zipfile.ZipFile(buffer) as zipped:
        zipped.extractall(app)
    assert JobValidator("client").validate(str(app)) == ("", {})
    (app / "custom").mkdir()
    reason, _ = JobValidator("client").validate(str(app))
    assert "brings code" in reason
    (app / "custom").rmdir()
    (app / "config/link").symlink_to("/etc/passwd")
    assert "holds a link" in JobValidator("client").validate(str(app))[0]
    assert [event["ref"] for event in audited] == ["job-1", "job-1"]
