"""The pods that the launcher of a prepared kit creates, captured by a stand-in for a cluster's API."""

import shutil
from types import SimpleNamespace

import pytest
import yaml
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_launcher_spec import JobProcessArgs
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils.class_utils import instantiate_class
from site_check.federation import read

from consilium.errors import ConfigurationError
from consilium.federation.site.pod_jobs import JOB_POD, SitePodLauncher

from .schemas import VERSIONS, validate
from .test_kubernetes import documents

JOB = "bc5d8fae-d087-4254-a4a9-a76dae112ac7"
DATA = "data-claim"
STUDIES = {
    "format_version": 2,
    "studies": {"brain_tumor": {"datasets": {"brats": {"source": DATA, "mode": "ro"}}}},
}

VERBS = {
    "create": "create",
    "read": "get",
    "delete": "delete",
    "replace": "update",
    "patch": "patch",
    "list": "list",
}
"""A method of the client -> the right that it takes."""


class Cluster:
    """Stands for the API of a cluster: keeps pods and secrets, and which rights were used."""

    def __init__(self, error):
        self.error = error
        self.kept = {}
        self.used = set()

    def __getattr__(self, name):
        verb, _, resource = name.partition("_namespaced_")

        def call(**arguments):
            self.used.add((f"{resource}s", VERBS[verb]))
            return getattr(self, f"_{verb}")(resource, **arguments)

        return call

    def _create(self, resource, *, body, namespace):
        assert namespace == "consilium"
        key = resource, body["metadata"]["name"]
        if key in self.kept:
            raise self.error(409)
        validate(body, VERSIONS[0])
        self.kept[key] = body
        return SimpleNamespace(metadata=SimpleNamespace(uid="1", deletion_timestamp=None))

    def _read(self, resource, *, name, namespace):
        if (resource, name) not in self.kept:
            raise self.error(404)
        phase = self.kept[resource, name].get("phase", "Running")
        return SimpleNamespace(
            status=SimpleNamespace(phase=phase), metadata=SimpleNamespace(deletion_timestamp=None)
        )

    def _delete(self, resource, *, name, namespace, grace_period_seconds=None):
        if self.kept.pop((resource, name), None) is None:
            raise self.error(404)

    def _replace(self, resource, *, name, namespace, body):
        self.kept[resource, name] = body

    def _patch(self, resource, *, name, namespace, body):
        assert (resource, name) in self.kept

    def _list(self, resource, *, namespace, field_selector):
        return SimpleNamespace(items=[])

    def pod(self):
        (pod,) = (body for (resource, _), body in self.kept.items() if resource == "pod")
        return pod


@pytest.fixture
def kit(hospital, tmp_path):
    """The prepared kit of a hospital that has the dataset of a study."""
    root = shutil.copytree(hospital.root, tmp_path / "north")
    (root / "local" / "study_runtime.yaml").write_text(yaml.safe_dump(STUDIES))
    return root


@pytest.fixture
def cluster(api_exception):
    return Cluster(api_exception)


@pytest.fixture
def launch(kit, cluster):
    """Start a job as FLARE does; returns its handle."""
    (component,) = (
        one
        for one in read(kit / "local" / "resources.json.default")["components"]
        if one["id"] == "k8s_launcher"
    )
    launcher = instantiate_class(component["path"], component["args"])
    assert isinstance(launcher, SitePodLauncher)
    launcher.core_v1 = cluster
    cell = SimpleNamespace(get_fqcn=lambda: "north", register_request_cb=lambda **_: None)

    def start(study="brain_tumor", **meta):
        context = FLContext()
        values = {
            ReservedKey.IDENTITY_NAME: "north",
            ReservedKey.ENGINE: SimpleNamespace(cell=cell),
            FLContextKey.WORKSPACE_OBJECT: Workspace(str(kit), "north", "config"),
            FLContextKey.ARGS: SimpleNamespace(workspace=str(kit), set=None),
            FLContextKey.JOB_PROCESS_ARGS: {
                JobProcessArgs.EXE_MODULE: ("-m", "nvflare.private.fed.app.client.worker_process"),
                JobProcessArgs.JOB_ID: ("-n", JOB),
                JobProcessArgs.AUTH_TOKEN: ("-t", "a token"),
            },
        }
        for name, value in values.items():
            context.set_prop(name, value, private=True, sticky=False)
        return launcher.launch_job({"job_id": JOB, "study": study, **meta}, context)

    return start


@pytest.fixture(params=["brain_tumor", "another", "default", None], ids=str)
def pod(request, launch, cluster):
    """The pod of a job of a study that the hospital knows, and of others."""
    launch(request.param)
    return cluster.pod()


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_pod_is_valid(pod, version):
    validate(pod, version)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("allowPrivilegeEscalation", False),
        ("readOnlyRootFilesystem", True),
        ("capabilities", {"drop": ["ALL"]}),
    ],
)
def test_the_container_is_closed(pod, key, value):
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"][key] == value


@pytest.mark.parametrize(
    ("key", "value"),
    [("runAsNonRoot", True), ("runAsUser", 10001), ("seccompProfile", {"type": "RuntimeDefault"})],
)
def test_the_pod_is_closed(pod, key, value):
    assert pod["spec"]["securityContext"][key] == value


def test_the_pod_may_ask_the_cluster_for_nothing(pod):
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["serviceAccountName"] == "consilium-job"


def test_the_image_is_pulled_once_and_is_the_hospital_s(pod):
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "registry.hospital.example/consilium-site:0.1.0"
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_the_cache_and_what_the_hospital_remembers_outlive_the_pod(pod):
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    mounts = {one["name"]: one["mountPath"] for one in pod["spec"]["containers"][0]["volumeMounts"]}
    assert volumes["lasting"]["persistentVolumeClaim"]["claimName"] == "north-lasting"
    assert mounts["lasting"] == "/var/tmp/nvflare/workspace/lasting"
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert mounts["shared-memory"] == "/dev/shm"
    assert volumes["workspace-job"]["emptyDir"] == {"sizeLimit": "10Gi"}


def test_no_secret_is_in_the_pod_itself(pod):
    assert "a token" not in str(pod)


def test_the_network_policies_and_limits_are_of_this_pod(pod, hospital):
    made = documents(hospital)
    labels = pod["metadata"]["labels"]
    assert made["NetworkPolicy", "consilium-job"]["spec"]["podSelector"]["matchLabels"] == labels
    (limits,) = made["LimitRange", "consilium-job"]["spec"]["limits"]
    (container,) = pod["spec"]["containers"]
    missing = {"cpu", "memory"} - set(container["resources"]["requests"])
    assert missing <= set(limits["defaultRequest"])


def test_a_job_gets_the_data_of_its_study_read_only_and_its_gpus(launch, cluster):
    launch("brain_tumor", resource_spec={"north": {"num_of_gpus": 2}})
    (container,) = cluster.pod()["spec"]["containers"]
    (mount,) = (one for one in container["volumeMounts"] if one["mountPath"] == "/data/brain_tumor/brats")
    assert mount["readOnly"] is True
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2


def test_the_launcher_has_the_rights_that_it_uses_and_no_other(launch, cluster, hospital):
    launch().terminate()
    launch()
    cluster.pod()["phase"] = "Failed"
    cluster.kept["secret", "nvflare-cred-x"] = {}
    launch()._query_pod_events()
    (role,) = (one for (kind, _), one in documents(hospital).items() if kind == "Role")
    granted = {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert granted == cluster.used


@pytest.mark.parametrize("phase", ["Failed", "Succeeded", "Running"])
def test_a_pod_that_was_evicted_or_belongs_to_a_dead_site_makes_room_for_the_next(launch, cluster, phase):
    launch()
    cluster.pod()["phase"] = phase
    launch()
    assert "phase" not in cluster.pod()


def test_a_pod_that_does_not_end_is_named_with_what_removes_it(launch, cluster, monkeypatch):
    monkeypatch.setattr("consilium.federation.site.pod_jobs._SECONDS_TO_VANISH", 0.1)
    launch()
    monkeypatch.setattr(cluster, "_delete", lambda *_, **__: None)
    with pytest.raises(RuntimeError, match=r"does not end.*kubectl -n consilium delete pod \S+ --force"):
        launch()


@pytest.mark.parametrize("content", [None, "[]", "kind: Job", "kind: [", "\0"])
def test_no_pod_is_created_without_its_description(launch, cluster, kit, content):
    if content is None:
        (kit / JOB_POD).unlink()
    else:
        (kit / JOB_POD).write_text(content)
    with pytest.raises(ConfigurationError, match=r"local/job_pod\.yaml"):
        launch()
    assert not [resource for resource, _ in cluster.kept if resource == "pod"]
