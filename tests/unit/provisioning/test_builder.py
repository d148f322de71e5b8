"""Kits as FLARE's own provisioner makes them from the project files that we ship."""

import json
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from unittest.mock import Mock

import pytest
from nvflare.apis.workspace import Workspace
from nvflare.fuel.f3.comm_config import CommConfigurator
from nvflare.fuel.f3.drivers.aio_http_driver import AioHttpDriver
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo, Mode
from nvflare.fuel.f3.drivers.grpc_driver import GRPC_DEFAULT_OPTIONS, GrpcDriver
from nvflare.fuel.f3.streaming.blob_streamer import BlobHandler
from nvflare.fuel.sec.authz import AuthzContext, Person
from nvflare.fuel.utils.config_service import ConfigService
from nvflare.security.security import FLAuthorizer
from site_check.federation import free_port

from consilium.errors import ConfigurationError
from consilium.federation.rounds.checkpoints import SERVER_STORAGE
from consilium.federation.site.local_settings import scope_properties
from consilium.federation.transport.tuning import LARGEST_MESSAGE
from consilium.provisioning.builder import SitePolicyBuilder
from consilium.provisioning.policy import allowed_classes, guard
from waiting import wait_until

from .provisioned import SERVER, provision, read, resource_manager, shipped_project


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
    reported = f'{export}; echo "$GLIBC_TUNABLES"'
    for before, after in (({}, "glibc.malloc.arena_max=1"), ({"GLIBC_TUNABLES": "their=own"}, "their=own")):
        said = subprocess.run(["sh", "-c", reported], env=before, capture_output=True, text=True, check=True)
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


def test_a_project_without_the_settings_of_a_hospital_is_rejected(tmp_path):
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

    def connect() -> socket.socket | None:
        with suppress(ConnectionRefusedError):
            return socket.create_connection(place, timeout=10)
        return None

    return wait_until(connect, "a listener")


def test_the_builder_rejects_a_filter_or_a_level_that_it_does_not_know():
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
    assert paths["job_outcomes"] == "consilium.federation.monitoring.job_outcomes.JobOutcomes"
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
