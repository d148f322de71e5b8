"""Manifests of a site: valid by the published schemas, and closed."""

import base64
import re
import shutil
import socket
import subprocess

import jsonschema
import pytest
import yaml
from site_check.federation import SERVER, read

from consilium.errors import ConfigurationError
from consilium.federation.site.pod_jobs import JOB_POD
from consilium.provisioning.start_scripts import memory_environment
from consilium.site_check.finding import Status
from consilium.site_check.job import load_site_job
from consilium.site_check.readiness import check_site

from .schemas import VERSIONS, validate

WORKSPACE = "/var/tmp/nvflare/workspace"


def documents(kit):
    found = [
        document
        for path in sorted((kit.root / "kubernetes").iterdir())
        for document in yaml.safe_load_all(path.read_text())
    ]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


@pytest.fixture(params=["hospital", "server"])
def kit(request):
    return request.getfixturevalue(request.param)


def pods_of(kit):
    """Every pod specification of a kit, by whose it is."""
    pods = {
        name: one["spec"]["template"]["spec"]
        for (kind, name), one in documents(kit).items()
        if kind == "Deployment"
    }
    if (kit.root / JOB_POD).exists():
        pods["job"] = yaml.safe_load((kit.root / JOB_POD).read_text())["spec"]
    return pods


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(kit, version):
    for document in documents(kit).values():
        validate(document, version)


def test_the_schemas_find_a_wrong_key(server):
    (deployment,) = (one for (kind, _), one in documents(server).items() if kind == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="readinesProbe"):
        validate(deployment, VERSIONS[0])


def test_the_network_policy_sees_the_addresses_of_the_servers_clients(server):
    (service,) = (one for (kind, _), one in documents(server).items() if kind == "Service")
    assert service["spec"]["externalTrafficPolicy"] == "Local"


def test_the_files_are_plain(kit):
    """Anchors of YAML are for no person to edit."""
    for path in (kit.root / "kubernetes").iterdir():
        assert not re.search(r"(&|\*)id\d", path.read_text())


@pytest.mark.quick_cases(1)
def test_no_name_is_there_twice(kit):
    files = (kit.root / "kubernetes").iterdir()
    assert len(documents(kit)) == sum(1 for path in files for _ in yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("pod", "runAsNonRoot", True),
        ("pod", "seccompProfile", {"type": "RuntimeDefault"}),
        ("container", "allowPrivilegeEscalation", False),
        ("container", "readOnlyRootFilesystem", True),
        ("container", "capabilities", {"drop": ["ALL"]}),
    ],
)
def test_every_pod_is_closed(kit, where, key, value):
    for pod in pods_of(kit).values():
        for holder in [pod] if where == "pod" else pod["containers"]:
            assert holder["securityContext"][key] == value


def test_no_pod_sees_the_node(kit):
    for pod in pods_of(kit).values():
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= {"emptyDir", "persistentVolumeClaim", "secret", "configMap"}
        assert pod["securityContext"]["runAsUser"] > 0


def test_the_cluster_rejects_pods_that_are_not_closed(kit):
    (namespace,) = (one for (kind, _), one in documents(kit).items() if kind == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_pod_can_write_where_programs_write(kit):
    for pod in pods_of(kit).values():
        (container,) = pod["containers"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert "/tmp" in mounts
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert {variables[name] for name in ("HOME", "TMPDIR", "MPLCONFIGDIR")} == {"/tmp"}
        assert memory_environment("client").items() <= variables.items()
        assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.quick_cases(1)
def test_every_claim_that_a_pod_mounts_is_made(kit):
    made = documents(kit)
    for pod in pods_of(kit).values():
        for volume in pod["volumes"]:
            for source, key, kind in (
                ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
                ("secret", "secretName", "Secret"),
                ("configMap", "name", "ConfigMap"),
            ):
                if source in volume:
                    assert (kind, volume[source][key]) in made


def test_what_a_hospital_remembers_is_on_a_volume_that_outlives_its_jobs(hospital):
    settings = read(hospital.local / "privacy.json")["scopes"][0]["properties"]["consilium"]
    assert settings["cache_dir"] == "lasting/cache"
    assert settings["state_dir"] == "lasting/site_state"
    job = pods_of(hospital)["job"]
    (volume,) = (one for one in job["volumes"] if one["name"] == "lasting")
    (mount,) = (one for one in job["containers"][0]["volumeMounts"] if one["name"] == "lasting")
    assert mount["mountPath"] == f"{WORKSPACE}/lasting"
    claim = documents(hospital)["PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]]
    assert claim["spec"]["resources"]["requests"]["storage"] == "220Gi"


@pytest.mark.parametrize("gib", [50, 1000])
def test_the_volume_is_as_large_as_the_cache_and_a_tenth(prepare, kits, tmp_path, gib):
    changed = shutil.copytree(kits / "north", tmp_path / "kits" / "north")
    path = changed / "local" / "privacy.json"
    path.write_text(path.read_text().replace('"dataset"', f'"cache_gib": {gib}, "dataset"'))
    prepare.kits = tmp_path / "kits"
    claims = [path.read_text() for path in (prepare("k8s") / "kubernetes").glob("20-*")]
    assert f"{gib * 11 // 10}Gi" in claims[0]


def test_the_server_keeps_everything_on_its_volume(server):
    """Its jobs are processes of its pod, so checkpoints, jobs and snapshots are in the workspace."""
    (pod,) = pods_of(server).values()
    (workspace,) = (one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "workspace")
    assert workspace["mountPath"] == WORKSPACE
    assert pod["containers"][0]["command"] == ["/bin/bash", f"{WORKSPACE}/startup/sub_start.sh", "--once"]
    assert "CONSILIUM_SERVER_STORAGE:-$WORKSPACE" in (server.startup / "sub_start.sh").read_text()
    assert pod["automountServiceAccountToken"] is False
    assert not [kind for kind, _ in documents(server) if kind.startswith("Role")]


def test_the_kit_in_the_cluster_is_the_kit(kit):
    made = documents(kit)
    (secret,) = (one for (kind, _), one in made.items() if kind == "Secret")
    (local,) = (one for (kind, _), one in made.items() if kind == "ConfigMap")
    for folder, data in ((kit.startup, secret["data"]), (kit.local, local["binaryData"])):
        assert {name: base64.b64decode(text) for name, text in data.items()} == {
            path.name: path.read_bytes() for path in folder.iterdir()
        }
    assert "PRIVATE KEY" not in str(local)
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", name) for name in (*secret["data"], *local["binaryData"]))


def test_a_changed_kit_replaces_the_pod(prepare):
    def checksum(output):
        (line,) = [
            one
            for one in (output / "kubernetes/60-site.yaml").read_text().splitlines()
            if "consilium/kit" in one
        ]
        return line

    first = prepare("k8s")
    kept = checksum(first)
    prepare.folder = prepare.folder / "second"
    prepare.folder.mkdir()
    assert checksum(prepare("k8s", job={"scratch": "11Gi"})) != kept


def test_nothing_connects_anywhere_unless_it_has_to(kit):
    policies = {name: one["spec"] for (kind, name), one in documents(kit).items() if kind == "NetworkPolicy"}
    assert policies.pop("closed") == {
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": [],
    }  # fmt: skip
    name = next(name for kind, name in documents(kit) if kind == "Deployment")
    open_ports = {
        who: {port["port"] for rule in spec[way] for port in rule["ports"]}
        for who, spec in policies.items() for way in ["egress"]
    }  # fmt: skip
    ingress = {
        who: {port["port"] for rule in spec["ingress"] for port in rule["ports"]}
        for who, spec in policies.items()
    }
    if kit.kind == "server":
        assert open_ports == {name: {53}}
        assert ingress == {name: {8102}}
    else:
        assert open_ports == {name: {8102, 443, 6443, 53}, "consilium-job": {8102, 53}}
        assert ingress == {name: {8102}, "consilium-job": set()}


def test_no_rule_is_without_ports_and_places(kit):
    for (kind, _), one in documents(kit).items():
        if kind == "NetworkPolicy":
            for rule in one["spec"]["egress"]:
                assert rule["to"]
                assert rule["ports"]
            for rule in one["spec"]["ingress"]:
                assert rule["from"]
                assert rule["ports"]


@pytest.mark.parametrize("image", ["consilium-site:0.1.0", "team/site:0.1.0"])
def test_an_image_that_no_node_can_pull_is_rejected(prepare, image):
    with pytest.raises(ConfigurationError, match=r"names no registry.*image_is_local"):
        prepare("k8s", image=image)
    job = yaml.safe_load((prepare("k8s", image=image, image_is_local=True) / JOB_POD).read_text())
    assert job["spec"]["containers"][0]["imagePullPolicy"] == "Never"


@pytest.mark.parametrize(
    "image", ["registry.example/site", "registry.example:5000/site", "registry.example/site:latest"]
)
def test_an_image_without_a_version_is_rejected(prepare, image):
    with pytest.raises(ConfigurationError, match="has no version"):
        prepare("k8s", image=image)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"namespace": "Consilium"}, "namespace: allowed: what matches"),
        ({"imagee": "registry.example/site:1"}, "did you mean 'image'"),
        ({"server_addresses": "flare.example"}, "a network such as"),
        ({"site": {"memory": "4 GB"}}, "site.memory"),
        ({"user": 0}, "user: allowed: 1 or more"),
    ],
)
def test_what_can_t_be_used_is_rejected_and_nothing_is_written(prepare, changes, said):
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        prepare("k8s", **changes)
    assert not (prepare.folder / "prepared" / "north").exists()


@pytest.mark.long
def test_a_prepared_kit_is_ready(hospital):
    findings = check_site(hospital, load_site_job("brain_tumor_fedavg"), offline=True).findings
    failed = {one.id for one in findings if one.status is Status.FAILED}
    assert not {name for name in failed if not name.startswith(("data.", "dataset", "machine."))}


def test_one_volume_for_one_node_keeps_all_pods_on_it(prepare):
    job = yaml.safe_load((prepare("k8s", storage={"access": "ReadWriteOnce"}) / JOB_POD).read_text())
    (term,) = job["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"


def test_the_probes_of_a_hospital_look_at_its_sockets(hospital):
    """The very commands, on this machine."""
    (container,) = next(iter(pods_of(hospital).values()))["containers"]
    command = container["livenessProbe"]["exec"]["command"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        asked = [one.replace(f"{8102:04X}", f"{port:04X}") for one in command]
        assert subprocess.run(asked, check=False).returncode != 0
        listener.listen()
        assert subprocess.run(asked, check=False).returncode == 0
        ready = container["readinessProbe"]["exec"]["command"]
        asked = [one.replace(f"{8102:04X}", f"{port:04X}") for one in ready]
        assert subprocess.run(asked, check=False).returncode != 0
        with socket.create_connection(("127.0.0.1", port)):
            assert subprocess.run(asked, check=False).returncode == 0


def test_a_server_kit_for_kubernetes_is_the_kit(server, kits):
    assert server.runtime == "process"
    for path in (kits / SERVER / "local").iterdir():
        assert (server.local / path.name).read_bytes() == path.read_bytes()
