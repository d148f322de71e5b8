"""Kits as FLARE's own provisioner makes them from the project files that we ship."""

import contextlib
import copy
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from nvflare.apis.workspace import Workspace
from nvflare.fuel.f3.comm_config import CommConfigurator
from nvflare.fuel.f3.drivers.aio_http_driver import AioHttpDriver
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo, Mode
from nvflare.fuel.f3.drivers.grpc_driver import GRPC_DEFAULT_OPTIONS, GrpcDriver
from nvflare.fuel.f3.streaming.blob_streamer import BlobHandler
from nvflare.fuel.sec.authz import AuthzContext, Person
from nvflare.fuel.sec.security_content_service import LoadResult, SecurityContentManager
from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.fuel.utils.config_service import ConfigService
from nvflare.fuel.utils.log_utils import default_log_dict
from nvflare.lighter.prov_utils import prepare_builders
from nvflare.lighter.provision import prepare_project
from nvflare.lighter.provisioner import Provisioner
from nvflare.lighter.spec import Builder
from nvflare.security.security import FLAuthorizer
from site_check.federation import free_port, umask

from consilium.data.files import OTHERS
from consilium.errors import ConfigurationError
from consilium.federation.rounds.durable_rounds import SERVER_STORAGE
from consilium.federation.site.settings import scope_properties
from consilium.federation.transport.tuning import LARGEST_MESSAGE
from consilium.guard.private_files import PrivateFiles
from consilium.provisioning.builder import SitePolicyBuilder, _log_config
from consilium.provisioning.policy import allowed_classes, guard

PROJECT = Path(__file__).parents[3] / "provision" / "project.yml"
SERVER = "flare.consortium.example"


def provision(folder: Path, project: dict) -> Path:
    project = copy.deepcopy(project)
    with umask(0):
        context = Provisioner(str(folder), prepare_builders(project)).provision(prepare_project(project))
    errors = context.get_errors()
    if errors:
        raise ConfigurationError(errors[0])
    return Path(context.get_result_location())


def shipped_project() -> dict:
    project: dict = yaml.safe_load(PROJECT.read_text())
    return project


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provisioned")


@pytest.fixture(scope="module")
def kits(workspace: Path) -> Path:
    return provision(workspace, shipped_project())


def read(path: Path) -> dict:
    content: dict = json.loads(path.read_text())
    return content


def resource_manager(kit: Path) -> dict:
    components = read(kit / "local" / "resources.json.default")["components"]
    return next(entry["args"] for entry in components if entry["id"] == "resource_manager")


@pytest.mark.parametrize("name", [SERVER, "north", "clinic"])
def test_a_site_lets_a_job_name_what_our_recipes_write_for_its_side(kits, name):
    resources = read(kits / name / "local" / "resources.json.default")
    kind = "server" if name == SERVER else "client"
    assert resources["class_allow_list"] == allowed_classes(kind)
    assert guard(kind) in resources["components"]
    assert resources["class_list_enforcement_mode"] == "enforce"


def test_a_hospital_has_the_capacity_that_the_project_declares_and_streams_no_logs(kits):
    assert resource_manager(kits / "north")["num_of_gpus"] == 4
    assert resource_manager(kits / "clinic")["num_of_gpus"] == 0
    assert read(kits / "clinic" / "local" / "resources.json.default")["allow_log_streaming"] is False


@pytest.mark.parametrize("name", [SERVER, "north", "clinic"])
def test_a_line_of_half_a_megabit_carries_what_is_under_way_before_it_is_sent_again(kits, name, monkeypatch):
    """As FLARE reads it: what is sent again is what nobody has confirmed for `retry_wait`."""
    monkeypatch.setattr(ConfigService, "_config_path", [str(kits / name / "local")])
    monkeypatch.setattr(ConfigService, "_var_values", {})
    monkeypatch.setattr(CommConfigurator, "_config_loaded", False)
    monkeypatch.setattr(CommConfigurator, "_configuration", None)
    config = CommConfigurator()
    piece, window = config.get_streaming_chunk_size(None), config.get_streaming_window_size(None)
    assert (window + piece) * 8 / 0.5e6 < config.get_streaming_retry_wait(None)
    assert config.get_streaming_ack_interval(None) <= piece
    cut_for_a_minute = 60 + config.get_streaming_retry_wait(None)
    assert config.get_streaming_retry_timeout(None) > 2 * cut_for_a_minute
    assert config.get_streaming_ack_progress_timeout(None) > 2 * cut_for_a_minute


def test_a_hospital_says_where_its_data_lies(kits):
    properties = scope_properties(kits / "clinic" / "local" / "privacy.json", None)
    assert properties == {"consilium": {"dataset": "/data/brain_tumor/brats", "role": "evaluates"}}
    assert not (kits / "clinic" / "local" / "privacy.json.sample").exists()


def test_the_server_keeps_jobs_and_snapshots_where_its_start_script_says(kits):
    kit = kits / SERVER
    text = (kit / "local" / "resources.json.default").read_text()
    assert f"{{${SERVER_STORAGE}}}/jobs-storage" in text
    assert f"{{${SERVER_STORAGE}}}/snapshot-storage" in text
    assert "/tmp" not in text
    script = (kit / "startup" / "sub_start.sh").read_text()
    assert script.index('WORKSPACE="$SOURCE_WORKSPACE"') < script.index(f"export {SERVER_STORAGE}=")
    assert script.index(f"export {SERVER_STORAGE}=") < script.index("exec python3")


def test_the_server_s_start_script_settles_how_memory_is_kept_unless_somebody_else_has(kits):
    script = (kits / SERVER / "startup" / "sub_start.sh").read_text()
    (export,) = [line for line in script.splitlines() if line.startswith("export GLIBC_TUNABLES=")]
    assert script.index(export) < script.index("exec python3")
    told = f'{export}; echo "$GLIBC_TUNABLES"'
    for before, after in (({}, "glibc.malloc.arena_max=1"), ({"GLIBC_TUNABLES": "their=own"}, "their=own")):
        said = subprocess.run(["sh", "-c", told], env=before, capture_output=True, text=True, check=True)
        assert said.stdout.strip().startswith(after)
    assert "GLIBC_TUNABLES" not in (kits / "north" / "startup" / "sub_start.sh").read_text()


def test_the_server_serves_more_connections_than_flare_s_hundred_and_takes_no_endless_messages(kits):
    """A hospital has two connections while a job runs."""
    settings = read(kits / SERVER / "local" / "comm_config.json")["grpc"]
    assert settings["max_workers"] >= 2 * 100
    options = dict(settings["options"])
    assert options.keys() == dict(GRPC_DEFAULT_OPTIONS).keys()
    received = "grpc.max_receive_message_length"
    assert 2**20 < options.pop(received) < dict(GRPC_DEFAULT_OPTIONS)[received] / 10
    assert options.items() <= dict(GRPC_DEFAULT_OPTIONS).items()
    assert "grpc" not in read(kits / "north" / "local" / "comm_config.json")


def test_the_server_makes_no_room_for_endless_streams(kits, monkeypatch):
    """As FLARE reads it: what a job's process limits for itself later, the kit limits from its start."""
    monkeypatch.setattr(ConfigService, "_config_path", [str(kits / SERVER / "local")])
    monkeypatch.setattr(ConfigService, "_var_values", {})
    monkeypatch.setattr(CommConfigurator, "_config_loaded", False)
    monkeypatch.setattr(CommConfigurator, "_configuration", None)
    assert BlobHandler(None).max_blob_size == LARGEST_MESSAGE


ROLES = ("project_admin", "org_admin", "lead", "member")
HOME_ORG = {"project_admin": "consortium", "lead": "consortium", "member": "consortium"}


@pytest.mark.parametrize(
    ("site", "organization", "right", "roles"),
    [
        (SERVER, "consortium", "byoc", set()),
        ("north", "north_hospital", "byoc", set()),
        ("north", "north_hospital", "server-predeployed-flwr", set()),
        (SERVER, "consortium", "submit_job", {"project_admin", "lead"}),
        ("north", "north_hospital", "submit_job", {"project_admin", "lead"}),
        # Reading a hospital's files is nobody's, reading the server's the consortium's.
        ("north", "north_hospital", "cat", set()),
        ("south", "south_hospital", "cat", set()),
        (SERVER, "consortium", "cat", {"project_admin", "lead"}),
        ("north", "north_hospital", "shutdown", {"project_admin", "org_admin"}),
        ("south", "south_hospital", "shutdown", {"project_admin"}),
        (SERVER, "consortium", "list_jobs", set(ROLES)),
    ],
)
def test_who_may_do_what(kits, site, organization, right, roles):
    policy = read(kits / site / "local" / "authorization.json.default")
    authorizer = FLAuthorizer(organization, policy)

    def may(role: str) -> bool:
        user = Person("someone", HOME_ORG.get(role, "north_hospital"), role)
        submitter = Person("somebody", "consortium", "lead")
        permitted, _ = authorizer.authorize(AuthzContext(right, user, submitter))
        return bool(permitted)

    assert {role for role in ROLES if may(role)} == roles


def content_of(kit: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(kit)): path.read_bytes()
        for path in sorted(kit.rglob("*"))
        # RSA-PSS salts a signature: the same content gets another one each time.
        if path.is_file() and path.name != "signature.json"
    }


def test_provisioning_again_adds_a_hospital_and_leaves_the_others_kits_as_they_were(workspace, kits):
    project = shipped_project()
    project["participants"].append(
        {"name": "west", "type": "client", "org": "west", "consilium": {"dataset": "/data/west"}}
    )
    later = provision(workspace, project)
    assert later != kits
    for name in ("north", "south", "clinic", "scientist@consortium.example", SERVER):
        assert content_of(later / name) == content_of(kits / name)
    assert (later / "west" / "startup" / "client.key").is_file()
    assert not (kits / "west").exists()


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, Path]:
    pytest.importorskip("tenseal", reason="homomorphic encryption needs TenSEAL: pip install 'consilium[he]'")
    project = shipped_project()
    project["participants"] = [
        entry
        for entry in project["participants"]
        if entry["name"] in (SERVER, "north", "admin@consortium.example")
    ]
    del project["studies"]
    project["builders"].insert(3, {"path": "consilium.provisioning.encryption.EncryptionContextBuilder"})
    folder = tmp_path_factory.mktemp("encrypted")
    return folder, project, provision(folder, project)


def test_a_later_provisioning_keeps_the_encryption_context(encrypted):
    folder, project, kits = encrypted
    later = provision(folder, project)
    for name, context in ((SERVER, "server_context.tenseal"), ("north", "client_context.tenseal")):
        before, after = (root / name / "startup" / context for root in (kits, later))
        assert before.read_bytes() == after.read_bytes()
        assert before.stat().st_mode & 0o077 == 0


def test_another_encryption_than_the_federation_has_is_refused(encrypted):
    folder, project, _ = encrypted
    changed = copy.deepcopy(project)
    changed["builders"][3]["args"] = {"scale_bits": 30}
    with pytest.raises(
        ConfigurationError, match=r"made with .*'scale_bits': 40.* asks for .*'scale_bits': 30"
    ):
        provision(folder, changed)


@pytest.mark.parametrize("plain", [True, False])
def test_startup_is_signed_and_local_is_the_site_s_to_tighten(request, kits, plain):
    root = kits if plain else request.getfixturevalue("encrypted")[2]
    startup, local = root / "north" / "startup", root / "north" / "local"
    signed = SecurityContentManager(str(startup))
    for name in ("fed_client.json", "client.crt", "client.key", "rootCA.pem"):
        assert signed.load_content(name)[1] is LoadResult.OK
    if not plain:
        assert signed.load_content("client_context.tenseal")[1] is LoadResult.OK
    assert not (local / "signature.json").exists()

    with changed(
        startup / "fed_client.json", lambda text: text.replace("consortium.example", "elsewhere.test")
    ):
        assert signed.load_json("fed_client.json")[1] is LoadResult.INVALID_SIGNATURE


@contextlib.contextmanager
def changed(path: Path, change: Callable[[str], str]):
    original = path.read_text()
    path.write_text(change(original))
    try:
        assert path.read_text() != original
        yield
    finally:
        path.write_text(original)


def test_a_project_without_the_settings_of_a_hospital_is_refused(tmp_path):
    project = shipped_project()
    north = next(entry for entry in project["participants"] if entry["name"] == "north")
    north["consiliom"] = north.pop("consilium")
    with pytest.raises(ConfigurationError, match=r"'north' has no .*'consiliom'; did you mean 'consilium'"):
        provision(tmp_path, project)


def test_a_misspelled_setting_names_the_hospital_and_the_nearest_known_one(tmp_path):
    project = shipped_project()
    north = next(entry for entry in project["participants"] if entry["name"] == "north")
    north["consilium"] = {"dataset": "/data/brats", "cache_gb": 10}
    with pytest.raises(ConfigurationError, match=r"(?s)client 'north'.*did you mean 'cache_gib'"):
        provision(tmp_path, project)
    assert not list(tmp_path.glob("*/prod_*"))


def test_a_server_that_a_stranger_can_block_is_not_provisioned(tmp_path):
    project = shipped_project()
    for builder in project["builders"]:
        if builder["path"].endswith("StaticFileBuilder"):
            builder["args"]["scheme"] = "tcp"
    with pytest.raises(ConfigurationError, match="scheme is 'tcp'; allowed: grpc, http"):
        provision(tmp_path, project)


@pytest.mark.parametrize(("driver", "scheme"), [(GrpcDriver, "grpcs"), (AioHttpDriver, "https")])
def test_who_connects_and_says_nothing_keeps_nobody_out_with_the_drivers_that_are_allowed(
    kits, driver, scheme
):
    """With FLARE's TCP driver the second handshake here runs into its timeout."""
    certificates, own = kits / SERVER / "startup", kits / "clinic" / "startup"
    place = "127.0.0.1", free_port()
    ca = str(certificates / "rootCA.pem")
    files = {"server_cert": str(certificates / "server.crt"), "server_key": str(certificates / "server.key")}
    params = {"scheme": scheme, "secure": True, "host": place[0], "port": place[1], "ca_cert": ca, **files}
    listening = driver()
    listening.register_conn_monitor(Mock())
    connector = ConnectorInfo("door", listening, params, Mode.PASSIVE, 0, 0, False, False)
    threading.Thread(target=listening.listen, args=(connector,), daemon=True).start()
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(own / "client.crt", own / "client.key")
    context.set_alpn_protocols(["h2"] if scheme == "grpcs" else ["http/1.1"])
    try:
        with (
            _connect(place),
            _connect(place) as connection,
            context.wrap_socket(connection, server_hostname=SERVER) as secure,
        ):
            assert secure.version() == "TLSv1.3"
    finally:
        listening.shutdown()


def _connect(place: tuple[str, int]) -> socket.socket:
    """Connect as soon as something listens there."""
    until = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(place, timeout=10)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def test_the_builder_refuses_a_filter_or_a_level_that_it_does_not_know():
    with pytest.raises(ConfigurationError, match=r"(?s)task_result_filters\[0\].*did you mean 'path'"):
        SitePolicyBuilder(task_result_filters=[{"pathh": "consilium.Filter"}])
    with pytest.raises(ConfigurationError, match="log_level is 'LOUD'; allowed: DEBUG, INFO"):
        SitePolicyBuilder(log_level="LOUD")
    with pytest.raises(ConfigurationError, match=r"(?s)metrics: .*did you mean 'host'"):
        SitePolicyBuilder(metrics={"hots": "monitor.example"})


def test_site_enforced_filters_and_settings_kept_at_the_hospital_reach_its_kit(tmp_path):
    project = shipped_project()
    project["participants"] = [
        entry
        for entry in project["participants"]
        if entry["name"] in (SERVER, "north", "admin@consortium.example")
    ]
    del project["studies"]
    del project["participants"][1]["consilium"]
    enforced = {"path": "consilium.privacy.Filter", "args": {"limit": 1.0}}
    policy = next(entry for entry in project["builders"] if entry["path"].endswith("SitePolicyBuilder"))
    policy["args"] = {
        "site": {"dataset": "/data/own"},
        "task_result_filters": [enforced],
        "log_level": "WARNING",
        "metrics": {"host": "monitor.example", "port": 8125},
    }
    made = provision(tmp_path, project)
    local = made / "north" / "local"
    scope = read(local / "privacy.json")["scopes"][0]
    assert scope["properties"] == {"consilium": {"dataset": "/data/own"}}
    assert scope["task_result_filters"] == [enforced]
    assert read(local / "log_config.json.default")["loggers"]["root"]["level"] == "WARNING"
    server, hospital = (
        (made / name / "local/resources.json.default").read_text() for name in (SERVER, "north")
    )
    assert '"host": "monitor.example"' in server
    assert "monitor.example" not in hospital


def test_the_server_tells_users_how_jobs_ended_and_nobody_their_metrics_unless_asked_to(kits):
    components = read(kits / SERVER / "local/resources.json.default")["components"]
    paths = {component["id"]: component["path"] for component in components}
    assert paths["job_outcomes"] == "consilium.federation.server.job_outcomes.JobOutcomes"
    assert "metrics_reporter" not in paths
    assert not any("statsd" in path for path in paths.values())


def test_flare_itself_takes_the_hospital_s_tighter_file_before_the_default(kits):
    local = kits / "south" / "local"
    tighter = read(local / "resources.json.default")
    tighter["class_allow_list"] = ["consilium."]
    path = local / "resources.json"
    path.write_text(json.dumps(tighter))
    try:
        workspace = Workspace(str(kits / "south"), "south", "config")
        assert workspace.get_resources_file_path() == str(path)
    finally:
        path.unlink()


def test_a_certificate_taken_out_of_the_state_is_made_anew_and_no_other(tmp_path, workspace, kits):
    project = shipped_project()
    folder = Path(shutil.copytree(workspace / project["name"], tmp_path / project["name"])).parent
    state = folder / project["name"] / "state" / "cert.json"
    certificates = read(state)
    del certificates["north"]
    state.write_text(json.dumps(certificates))
    later = provision(folder, project)
    for name in ("client.crt", "client.key"):
        assert (later / "north/startup" / name).read_bytes() != (kits / "north/startup" / name).read_bytes()
        assert (later / "south/startup" / name).read_bytes() == (kits / "south/startup" / name).read_bytes()
    root = "north/startup/rootCA.pem"
    assert (later / root).read_bytes() == (kits / root).read_bytes()


def open_to_others(folder: Path) -> dict[str, str]:
    """What other accounts have a right to, with its mode."""
    modes = {str(path.relative_to(folder)): path.lstat().st_mode for path in (folder, *folder.rglob("*"))}
    return {name: oct(mode) for name, mode in modes.items() if mode & OTHERS}


def test_nobody_else_can_open_anything_of_a_project_from_its_first_provisioning_on(tmp_path):
    """FLARE writes the root key when all builders of ours are done."""
    kits = provision(tmp_path, shipped_project())
    project = kits.parent
    assert {"prod_00", "state"} <= {path.name for path in project.iterdir()}
    assert open_to_others(project) == {}
    assert (project / "state" / "cert.json").stat().st_mode & 0o777 == 0o600
    assert (kits / "north" / "startup" / "start.sh").stat().st_mode & 0o777 == 0o700


def test_the_encryption_context_and_its_copies_are_the_owner_s_alone(encrypted):
    _, _, kits = encrypted
    assert (kits.parent / "state/encryption").is_dir()
    assert open_to_others(kits.parent) == {}


def test_provisioning_again_closes_what_an_earlier_version_left_open(tmp_path, workspace, kits):
    project = shipped_project()
    folder = Path(shutil.copytree(workspace / project["name"], tmp_path / project["name"])).parent
    made = folder / project["name"]
    for path, mode in ((made, 0o755), (made / "state", 0o755), (made / "state/cert.json", 0o644)):
        path.chmod(mode)
    later = provision(folder, project)
    assert open_to_others(made / "state") == {}
    assert open_to_others(later) == {}
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("name", "script", "answer"),
    [
        (SERVER, "sub_start.sh --once", ""),
        ("north", "sub_start.sh --once", ""),
        (SERVER, "stop_fl.sh", "y"),
        ("clinic", "stop_fl.sh", "y"),
        ("scientist@consortium.example", "fl_admin.sh", ""),
    ],
)
def test_what_a_kit_s_script_starts_and_writes_is_its_owner_s(kits, tmp_path, name, script, answer):
    """A program of this name stands in for Python: it says which umask it has, and writes a file."""
    kit = Path(shutil.copytree(kits / name, tmp_path / name))
    before = set(kit.rglob("*"))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "python3"
    program.write_text(f"#!/bin/sh\numask > '{kit}/umask.txt'\n")
    program.chmod(0o755)
    with umask(0):
        subprocess.run(
            ["bash", "-c", f"'{kit}'/startup/{script}"], input=answer, text=True, check=True,
            env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}, capture_output=True,
        )  # fmt: skip
    written = set(kit.rglob("*")) - before
    assert written
    assert open_to_others(kit) == {}
    if "stop" not in script:
        assert int((kit / "umask.txt").read_text(), 8) == OTHERS


def test_every_script_of_every_kit_sets_the_umask_before_anything_else(kits):
    scripts = list(kits.glob("*/startup/*.sh"))
    assert {script.name for script in scripts} == {"start.sh", "sub_start.sh", "stop_fl.sh", "fl_admin.sh"}
    assert {script.parents[1].name for script in scripts} == {path.name for path in kits.iterdir()}
    for script in scripts:
        assert [line.partition(" #")[0] for line in script.read_text().splitlines()[:2]] == [
            "#!/usr/bin/env bash",
            "umask 077",
        ]
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


class OtherScripts(Builder):
    """Stands for a FLARE that writes its scripts in another way."""

    def __init__(self, name: str, content: str | None) -> None:
        self._name, self._content = name, content

    def build(self, project, ctx):
        script = Path(ctx.get_kit_dir(project.get_all_participants()[-1])) / self._name
        if self._content is None:
            script.unlink()
        else:
            script.write_text(self._content)


@pytest.mark.parametrize(
    ("name", "content"),
    [("fl_admin.sh", None), ("fl_admin.sh", "#!/bin/zsh\n"), ("new.sh", "python3 -m nvflare\n")],
)
def test_a_script_that_can_not_be_made_to_set_the_umask_stops_the_provisioning(tmp_path, name, content):
    project = shipped_project()
    args = {"name": name, "content": content}
    project["builders"].insert(2, {"path": f"{__name__}.OtherScripts", "args": args})
    with pytest.raises(
        ConfigurationError, match=rf"observer@consortium.example: {name} of the kit is missing"
    ):
        provision(tmp_path, project)
    assert not list(tmp_path.glob("*/prod_*"))


def test_a_project_that_can_not_be_closed_is_not_provisioned(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "chmod", lambda self, mode: None)  # as a file system without modes does
    with pytest.raises(ConfigurationError, match="other accounts of this machine can read keys below"):
        provision(tmp_path, shipped_project())
    assert not list(tmp_path.glob("*/prod_*"))


@pytest.mark.parametrize("name", [SERVER, "north"])
def test_flare_s_log_files_of_a_site_are_its_owner_s_those_of_an_earlier_version_too(kits, name, tmp_path):
    config = read(kits / name / "local" / "log_config.json.default")
    files = {handler["filename"] for handler in config["handlers"].values() if "filename" in handler}
    assert {"log.txt", "error_log.txt", "log.json", "log_fl.txt"} <= files
    (tmp_path / "log.txt").write_text("before\n")
    (tmp_path / "log.txt").chmod(0o644)
    program = (
        "import json, logging, sys\n"
        "from nvflare.fuel.utils.log_utils import apply_log_config\n"
        "apply_log_config(json.load(open(sys.argv[1])), sys.argv[2])\n"
        "logging.getLogger('custom').error('something')\n"
    )
    path = kits / name / "local" / "log_config.json.default"
    with umask(0):
        subprocess.run([sys.executable, "-c", program, path, tmp_path], check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == files
    assert all("something" in path.read_text() for path in tmp_path.iterdir())
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}


@pytest.mark.parametrize("change", [{"class": "logging.FileHandler"}, {"class": "logging.NullHandler"}])
def test_a_log_file_that_can_not_be_kept_private_is_refused(change):
    config = copy.deepcopy(default_log_dict)
    config["handlers"]["logFileHandler"] |= change
    with pytest.raises(ValueError, match="logFileHandler writes a file with logging"):
        _log_config(config, "INFO")


@pytest.mark.parametrize("name", [SERVER, "north", "clinic"])
def test_each_process_of_a_site_sets_the_umask_before_other_components_are_built(kits, name):
    first = read(kits / name / "local" / "resources.json.default")["components"][0]
    assert first == {"id": "private_files", "path": get_class_name(PrivateFiles), "args": {}}
    with umask(0o022):
        PrivateFiles()
        assert os.umask(0) == OTHERS


def test_the_fingerprint_of_the_ca_is_printed_as_openssl_shows_it(tmp_path, capsys):
    kits = provision(tmp_path, shipped_project())
    root = x509.load_pem_x509_certificate((kits / "north" / "startup" / "rootCA.pem").read_bytes())
    digest = root.fingerprint(hashes.SHA256()).hex(":").upper()
    assert f"fingerprint of the federation's CA: SHA256:{digest}; tell it" in capsys.readouterr().out


def test_a_new_name_of_the_server_that_its_certificate_lacks_is_said(tmp_path, capfd):
    project = shipped_project()
    provision(tmp_path, project)
    assert "its certificate holds" not in capfd.readouterr().err
    project["participants"][0]["host_names"] = ["public.example"]
    provision(tmp_path, project)
    said = "".join(capfd.readouterr())
    assert "its certificate holds flare.consortium.example, and not public.example" in said
