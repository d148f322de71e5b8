import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from site_check.federation import SERVER, SITE, provision

from consilium.provisioning.kit import Kit
from consilium.provisioning.runtimes.prepare import prepare_kit

SHIPPED = Path(__file__).parents[4] / "provision" / "runtime"


@pytest.fixture(scope="session")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return provision(tmp_path_factory.mktemp("runtimes"), project="consilium")


class Preparation:
    """Prepares kits with the files that we ship, edited."""

    def __init__(self, kits: Path, folder: Path) -> None:
        self.kits, self.folder = kits, folder

    def __call__(self, runtime: str, participant: str = SITE, /, **changes: object) -> Path:
        values = yaml.safe_load((SHIPPED / f"{runtime}.yaml").read_text())
        values.update(changes)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(values))
        output = self.folder / "prepared" / participant
        prepare_kit(self.kits / participant, self.folder / "config.yaml", output)
        return output


@pytest.fixture
def prepare(kits, tmp_path):
    return Preparation(kits, tmp_path)


@pytest.fixture(scope="session")
def hospital(kits, tmp_path_factory) -> Kit:
    """A hospital's kit, prepared for Kubernetes with the file that we ship."""
    return Kit(Preparation(kits, tmp_path_factory.mktemp("hospital"))("k8s"))


@pytest.fixture(scope="session")
def server(kits, tmp_path_factory) -> Kit:
    """The server's, likewise."""
    return Kit(Preparation(kits, tmp_path_factory.mktemp("server"))("k8s", SERVER))


class ApiException(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@pytest.fixture
def api_exception(monkeypatch) -> type[ApiException]:
    """Stands for the one class of the package `kubernetes` that FLARE needs beside the client itself."""
    for name in ("kubernetes", "kubernetes.client", "kubernetes.client.rest"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["kubernetes.client.rest"].ApiException = ApiException
    return ApiException
