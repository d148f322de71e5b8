import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from data.hospital import Hospital

from consilium.provisioning.kit import Kit
from consilium.site_check.finding import SiteFinding, Status
from consilium.site_check.job import SiteJob, load_site_job

from .federation import hospital_kit, provision


@pytest.fixture(autouse=True)
def active(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of these tests is the one on the PATH."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return provision(tmp_path_factory.mktemp("federation"), project="consilium")


@pytest.fixture(scope="session")
def other_kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kits of another federation with the same names."""
    return provision(tmp_path_factory.mktemp("other"), project="elsewhere")


@pytest.fixture(scope="session")
def job() -> SiteJob:
    return load_site_job("brain_tumor_fedavg")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hospital = Hospital(tmp_path_factory.mktemp("dataset"))
    for name in ("patient-a", "patient-b", "patient-c"):
        hospital.brats(name)
    return hospital.folder


@pytest.fixture
def root(kits: Path, dataset: Path, tmp_path: Path) -> Path:
    """The kit of a healthy hospital, to be spoiled."""
    return hospital_kit(kits, tmp_path / "north", dataset)


@pytest.fixture
def kit(root: Path) -> Kit:
    return Kit(root)


@pytest.fixture
def refused() -> Callable[..., None]:
    """Assert that a finding failed, or warns, and what its two texts say."""

    def check(finding: SiteFinding, seen: str, remedy: str, status: Status = Status.FAILED) -> None:
        assert finding.status is status, finding
        assert seen in finding.seen
        assert finding.remedy is not None
        assert remedy in finding.remedy

    return check
