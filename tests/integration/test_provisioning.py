"""FLARE's own commands on the project files and the runtime files that we ship."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from nvflare.fuel.sec.security_content_service import LoadResult, SecurityContentManager

from consilium.provisioning.policy import allowed_classes, guard

from .accounts import everything_in, open_to_others

pytestmark = pytest.mark.integration

FILES = Path(__file__).parents[2] / "provision"
PROJECT = "brain_tumor_consortium"
SERVER = "flare.consortium.example"


class Place:
    """A folder in which FLARE's command runs, with a home of its own: FLARE writes to `~/.nvflare`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "home").mkdir()

    def nvflare(self, *arguments: str | Path) -> str:
        return self.run("nvflare", *arguments)

    def run(self, program: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("consortium"))


@pytest.fixture(scope="module")
def kits(consortium: Place) -> Path:
    consortium.nvflare("provision", "-p", FILES / "project.yml", "-w", "provisioned")
    return consortium.folder / "provisioned" / PROJECT / "prod_00"


@pytest.fixture(scope="module")
def prepared(consortium: Place, kits: Path) -> Iterator[dict[str, Path]]:
    """The kits of a hospital and the server, prepared for each runtime with the files that we ship."""
    runtimes = ("docker", "k8s", "slurm")

    def prepare(runtime: str, site: str) -> Path:
        kit = Path(shutil.copytree(kits / site, consortium.folder / runtime / site))
        shutil.copy(FILES / "runtime" / f"study_runtime.{runtime}.yaml", kit / "local" / "study_runtime.yaml")
        output = consortium.folder / "prepared" / runtime / site
        configuration = FILES / "runtime" / f"{runtime}.yaml"
        consortium.run("consilium", "kits", "prepare", kit, "--output", output, "--config", configuration)
        return output

    wanted = [(runtime, "north") for runtime in runtimes] + [("docker", SERVER)]
    with ThreadPoolExecutor(2) as pool:
        outputs = pool.map(lambda pair: prepare(*pair), wanted)
        yield dict(zip(["docker", "k8s", "slurm", "docker server"], outputs, strict=True))


def resources(kit: Path) -> dict:
    content: dict = json.loads((kit / "local" / "resources.json.default").read_text())
    return content


@pytest.mark.parametrize(
    ("runtime", "launcher"),
    [
        ("docker", "DockerJob"),
        ("k8s", "SitePod"),
        ("slurm", "SiteSlurm"),
        ("docker server", "DockerJob"),
    ],
)
def test_a_kit_prepared_for_containers_keeps_its_policy_and_its_signatures(prepared, runtime, launcher):
    kit = prepared[runtime]
    assert resources(kit)["class_allow_list"] == allowed_classes(
        "server" if "server" in runtime else "client"
    )
    assert guard("server" if "server" in runtime else "client") in resources(kit)["components"]
    assert any(f"{launcher}Launcher" in entry["path"] for entry in resources(kit)["components"])
    assert json.loads((kit / "local" / "authorization.json.default").read_text())["permissions"]
    assert kit.stat().st_mode & 0o077 == 0
    assert "private_files" in [entry["id"] for entry in resources(kit)["components"]]
    signed = SecurityContentManager(str(kit / "startup"))
    name = "fed_server.json" if "server" in runtime else "fed_client.json"
    assert signed.load_json(name)[1] is LoadResult.OK


@pytest.mark.parametrize("runtime", ["docker", "k8s", "slurm"])
def test_the_dataset_of_a_hospital_is_where_its_runtime_mounts_it(prepared, runtime):
    local = prepared[runtime] / "local"
    assert resources(prepared[runtime])["allow_log_streaming"] is False
    scope = json.loads((local / "privacy.json").read_text())["scopes"][0]
    studies = yaml.safe_load((local / "study_runtime.yaml").read_text())["studies"]
    mounts = {f"/data/{study}/{name}" for study, entry in studies.items() for name in entry["datasets"]}
    assert scope["properties"]["consilium"]["dataset"] in mounts


def test_a_server_in_a_container_keeps_its_jobs_in_its_workspace(prepared):
    text = json.dumps(resources(prepared["docker server"]))
    assert "CONSILIUM_SERVER_STORAGE" not in text
    assert "/workspace/jobs-storage" in text
    assert "/workspace/snapshot-storage" in text


def test_a_hospital_s_key_and_folder_never_leave_it(tmp_path):
    """The session of docs/provisioning.md, between the project admin and a hospital."""
    admin, hospital = (
        Place(made) for made in (tmp_path / "admin", tmp_path / "hospital") if not made.mkdir()
    )
    admin.nvflare("cert", "init", "--profile", FILES / "profile.yml", "-o", "ca", "--valid-days", "730")
    hospital.nvflare("cert", "request", "-p", FILES / "hospital.yml", "--out", "request")
    request = shutil.copy(hospital.folder / "request" / "north.request.zip", admin.folder)
    admin.nvflare("cert", "approve", request, "--ca-dir", "ca", "--profile", FILES / "profile.yml")
    approved = shutil.copy(admin.folder / "north.signed.zip", hospital.folder)
    hospital.nvflare("package", approved, "--request-dir", "request", "-w", "kit")

    with zipfile.ZipFile(request) as sent:
        texts = [sent.read(name).decode() for name in sent.namelist()]
    assert not any("PRIVATE KEY" in text or "/data" in text for text in texts)
    assert not [path for path in admin.folder.rglob("*.key") if path.name != "rootCA.key"]
    kit = hospital.folder / "kit" / PROJECT / "prod_00" / "north"
    assert "PRIVATE KEY" in (kit / "startup" / "client.key").read_text()
    assert open_to_others(everything_in(kit)) == {}
    assert resources(kit)["class_allow_list"] == allowed_classes("client")
    assert "/data/brain_tumor/brats" in (kit / "local" / "privacy.json").read_text()


def test_encryption_without_its_library_says_what_to_install(tmp_path):
    place = Place(tmp_path)
    project = yaml.safe_load((FILES / "project.yml").read_text())
    project["builders"].insert(3, {"path": "consilium.provisioning.encryption.EncryptionContextBuilder"})
    (tmp_path / "project.yml").write_text(yaml.safe_dump(project))
    # A module of this name that can't be imported replaces an installation without it.
    (tmp_path / "tenseal.py").write_text("raise ImportError('No module named tenseal')\n")
    done = subprocess.run(
        [sys.executable, "-m", "nvflare.cli", "provision", "-p", "project.yml"],
        cwd=place.folder,
        env={**os.environ, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode != 0
    assert "pip install -c constraints.txt tenseal" in done.stdout + done.stderr
    assert not list(tmp_path.glob("workspace/*/prod_*"))
