"""Compose files of kits: valid by the specification's own schema, and without rights on the host."""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from consilium.errors import ConfigurationError
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.runtimes.docker_compose import (
    COMPOSE_FILE,
    ENV_FILE,
    GPU_FILE,
    write_compose_files,
)
from consilium.provisioning.start_scripts import memory_environment

from ..provisioned import PROJECT, SERVER, provision

SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+):-(?P<default>[^}]*)\})")


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return provision(tmp_path_factory.mktemp("project"), yaml.safe_load(PROJECT.read_text()))


def interpolate(content: str, variables: Mapping[str, str]) -> str:
    """Replace variables as Compose does, those of a default value as well."""

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found["name"]) or interpolate(found["default"], variables)

    return VARIABLE.sub(replace, content)


def load(file: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(interpolate(file.read_text(), variables or {}))
    jsonschema.validate(content, SCHEMA)
    return content


def service(kit: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    (found,) = load(kit / COMPOSE_FILE, variables)["services"].values()
    return dict(found)


def targets(found: Mapping[str, Any]) -> dict[str, Any]:
    return {mount["target"]: mount for mount in found["volumes"]}


def write(folder: Path, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    site = SiteSettings.parse({"dataset": "/data/brats", **settings}, source="test")
    write_compose_files(folder, "north", kind="client", settings=site)
    return folder


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("name", [SERVER, "north", "south", "clinic"])
def test_every_kit_has_compose_files_that_the_schema_accepts(kits: Path, name: str) -> None:
    files = list((kits / name).glob("compose*.yaml"))

    assert {file.name for file in files} == ({COMPOSE_FILE} if name == SERVER else {COMPOSE_FILE, GPU_FILE})
    for file in files:
        load(file)


@pytest.mark.long
def test_the_schema_rejects_what_compose_does_not_know(kits: Path) -> None:
    content = load(kits / "north" / COMPOSE_FILE)
    wrong = copy.deepcopy(content)
    wrong["services"]["site"]["read_onyl"] = True

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize("name", [SERVER, "north"])
def test_a_container_has_no_rights_and_survives(kits: Path, name: str) -> None:
    found = service(kits / name)

    assert found["restart"] == "unless-stopped"
    assert found["user"] == "10001:10001"
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "cap_add" not in found
    assert "privileged" not in found
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["mem_limit"] == found["memswap_limit"]
    assert found["shm_size"]
    assert "docker.sock" not in json.dumps(found)
    mounts = targets(found)
    assert mounts["/kit/startup"]["read_only"] is mounts["/kit/local"]["read_only"] is True
    assert all(one["bind"]["create_host_path"] is False for one in mounts.values() if one["type"] == "bind")


@pytest.mark.long
def test_memory_and_umask_are_set_by_the_kits_script(kits: Path) -> None:
    assert service(kits / SERVER)["command"] == ["/kit/startup/sub_start.sh", "--once"]
    script = (kits / SERVER / "startup/sub_start.sh").read_text()
    assert "umask 077" in script
    for name, value in memory_environment("server").items():
        assert f'export {name}="${{{name}:-{value}}}"' in script


def test_the_server_keeps_its_jobs_in_a_volume_and_opens_one_port(kits: Path) -> None:
    found = service(kits / SERVER)

    assert targets(found)["/storage"]["source"] == "storage"
    assert found["environment"] == {"CONSILIUM_SERVER_STORAGE": "/storage"}
    assert found["ports"] == ["8002:8002"]
    assert "ports" not in service(kits / "north")


def test_a_hospitals_data_can_only_be_read_and_lies_where_its_settings_say(kits: Path) -> None:
    data = targets(service(kits / "north", {"CONSILIUM_DATA": "/srv/brats"}))["/data/brain_tumor/brats"]

    assert (data["source"], data["read_only"]) == ("/srv/brats", True)
    default = targets(service(kits / "north"))["/data/brain_tumor/brats"]
    assert default["source"] == "/data/brain_tumor/brats"


@pytest.mark.long
def test_gpus_are_an_option_and_on_where_a_hospital_offers_some(kits: Path) -> None:
    def devices(name: str) -> Any:
        site = load(kits / name / GPU_FILE)["services"]["site"]
        return site["deploy"]["resources"]["reservations"]["devices"]

    both = f"\nCOMPOSE_FILE={COMPOSE_FILE}:{GPU_FILE}\n"
    assert devices("north") == [{"driver": "nvidia", "count": 4, "capabilities": ["gpu"]}]
    assert devices("clinic")[0]["count"] == "all"
    assert both in (kits / "north" / ENV_FILE).read_text()
    assert both.replace("\n", "\n#", 1) in (kits / "clinic" / ENV_FILE).read_text()


def test_every_variable_can_be_set_in_the_env_file(kits: Path) -> None:
    for name in (SERVER, "north"):
        text = "".join(file.read_text() for file in (kits / name).glob("compose*.yaml"))
        named = {found["name"] for found in VARIABLE.finditer(text)}
        said = set(re.findall(r"^#?(CONSILIUM_\w+)=", (kits / name / ENV_FILE).read_text(), re.MULTILINE))
        assert named == said


@pytest.mark.long
def test_folders_outside_the_kit_are_mounted_under_their_own_paths(tmp_path: Path) -> None:
    kit = write(
        tmp_path, cache_dir="/scratch/cache", state_dir="/var/lib/site", patients_file="/srv/patients.csv"
    )

    mounts = targets(service(kit))
    assert mounts["/scratch/cache"]["read_only"] is mounts["/var/lib/site"]["read_only"] is False
    assert mounts["/srv/patients.csv"]["read_only"] is True
    assert "/kit/cache" not in mounts


@pytest.mark.long
def test_what_lies_in_the_kit_or_in_the_dataset_needs_no_mount_of_its_own(tmp_path: Path) -> None:
    kit = write(tmp_path, cache_dir="fast", patients_file="/data/brats/participants.tsv", state_dir="state")

    assert set(targets(service(kit))) == {"/kit", "/kit/startup", "/kit/local", "/data/brats"}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("dataset", ["/data/MRI of 2024", "/data/a: b", "/data/$HOME", "/data/ü#1", "cases"])
def test_any_folder_can_be_a_dataset(tmp_path: Path, dataset: str) -> None:
    mount = targets(service(write(tmp_path, dataset=dataset)))[str(Path("/kit") / dataset)]

    assert mount["source"] == (dataset if dataset.startswith("/") else f"./{dataset}")


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", ["north", "North_2", "server.example", "1st-site"])
def test_a_kits_name_becomes_a_projects(tmp_path: Path, name: str) -> None:
    write_compose_files(tmp_path, name, kind="server", ports=[8002])

    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", load(tmp_path / COMPOSE_FILE)["name"])


@pytest.mark.parametrize("name", ["dataset", "cache_dir", "state_dir", "patients_file", "accepted_findings"])
@pytest.mark.parametrize("end", ["\nCOMPOSE_FILE=/evil.yaml", "}/../../etc", "\u2028#"])
def test_no_path_is_another_setting(tmp_path: Path, name: str, end: str) -> None:
    with pytest.raises(ConfigurationError, match="can't stand in"):
        write(tmp_path / "north", **{name: f"/srv/cases{end}"})
    assert not list((tmp_path / "north").iterdir())
