import json

import pytest
from federation.job_files import JOBS, files_of

from consilium.guard.job_rules import app_fault, job_fault

CLIENT, SERVER = "config/config_fed_client.json", "config/config_fed_server.json"


def nothing_forbidden(class_path):
    return None


def fault_of(content, name=CLIENT):
    return app_fault([name], lambda _: json.dumps(content).encode(), nothing_forbidden, "client")


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
        "consilium.federation.site.settings.read_site_settings",
        "consilium.cli.main.main",
        "consilium.federation.Executor.x.y",
    ],
)
def test_only_components_of_this_package_can_be_named(path):
    for key in ("path", "class_path"):
        assert "no component for a job" in fault_of({"args": {"deep": [{key: path, "config_type": "dict"}]}})


def forbid_shell(class_path):
    return "forbidden here" if class_path.startswith("subprocess") else None


def test_the_sites_own_list_decides_about_every_class_however_deep():
    inner = {"path": "subprocess.Popen", "args": {"args": ["id"]}, "config_type": "dict"}
    outer = {"path": "consilium.federation.site.executor.SiteExecutor", "args": {"learning": {"x": [inner]}}}
    fault = app_fault([CLIENT], lambda _: json.dumps(outer).encode(), forbid_shell, "client")
    assert "args.learning.x[0].path is 'subprocess.Popen'" in fault
    assert "forbidden here" in fault


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
