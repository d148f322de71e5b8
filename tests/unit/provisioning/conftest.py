from pathlib import Path

import pytest

from consilium.provisioning.kit_packing import pack_kits

from .provisioned import SERVER, provision, shipped_project


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provisioned")


@pytest.fixture(scope="session")
def kits(workspace: Path) -> Path:
    return provision(workspace, shipped_project())


@pytest.fixture(scope="session")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, Path]:
    pytest.importorskip("tenseal", reason="homomorphic encryption needs TenSEAL: make install")
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


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory):
    """The kits of the shipped project, with all that our builders write."""
    return provision(tmp_path_factory.mktemp("provisioned"), shipped_project())


@pytest.fixture
def handover(provisioned, tmp_path):
    pack_kits(provisioned, tmp_path / "handover")
    return tmp_path / "handover"
