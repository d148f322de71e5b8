import json
import os
import sys
from functools import partial
from pathlib import Path

import pytest
from data.hospital import Hospital
from site_check.federation import aim, hospital_kit, provision

SITE = "north"


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    return provision(tmp_path_factory.mktemp("federation"), project="consilium")


@pytest.fixture
def hospital(tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("mueller-1950", "rossi-1961", *(f"other-{number}" for number in range(8))):
        hospital.brats(name)
    hospital.brats("smith-1972", without=["t1"])
    return hospital


@pytest.fixture
def root(kits, hospital, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return hospital_kit(kits, tmp_path / SITE, hospital.folder)


@pytest.fixture
def check(run):
    """Type `consilium check-site ...`; returns exit code, standard output and standard error."""
    return partial(run, "check-site")


def test_a_ready_site_ends_with_0_and_names_no_patient(check, root):
    code, out, _ = check(root, "--offline")
    assert code == 0
    assert "north: ready for job brain_tumor_fedavg" in out
    assert "left out: 1 missing_image" in out
    assert "smith" not in out


@pytest.mark.long
def test_cases_are_named_to_who_asks(check, root):
    _, out, _ = check(root, "--offline", "--show-cases")
    assert "case smith-1972 is left out: missing_image" in out
    _, out, _ = check(root, "--offline", "--show-cases", "--json")
    assert "smith-1972" in out


@pytest.mark.long
def test_json_can_be_mailed(check, root, tmp_path):
    code, out, _ = check(root, "--offline", "--json")
    content = json.loads(out)
    assert code == 0
    assert content["ready"] is True
    checks = {check["id"]: check for check in content["checks"]}
    assert checks["dataset.cases"]["data"]["labeled_patients"] == 10
    assert not any(text in out for text in ("mueller", "rossi", "smith", str(tmp_path), "PRIVATE KEY"))


def test_a_failure_ends_with_1_and_a_remedy_below_it(check, root):
    (root / "startup" / "client.key").chmod(0o644)
    aim(root, 1)  # nothing listens there
    code, out, _ = check(root)
    assert code == 1
    assert "north: not ready" in out
    assert "-> chmod 600 startup/client.key" in out
    assert "refuses connections" in out


@pytest.mark.long
def test_the_machine_is_checked_for_the_job_that_is_named(check, root):
    code, out, _ = check(root, "--offline", "--job", "brain_tumor_fedavg_gpu", "--json")
    assert json.loads(out)["job"] == "brain_tumor_fedavg_gpu"
    assert code in (0, 1)


@pytest.mark.parametrize(
    ("kit", "options", "reported"),
    [
        ("nowhere", (), "is not a folder"),
        ("kits", (), "is not a site's startup kit"),
        ("north", ("--job", "nnunet"), "consilium jobs list"),
    ],
)
def test_what_can_t_be_checked_at_all_ends_with_2(check, root, kits, tmp_path, kit, options, reported):
    code, out, err = check(kits if kit == "kits" else tmp_path / kit, *options)
    assert (code, out) == (2, "")
    assert reported in err


def test_help_teaches(check):
    code, out, _ = check("--help")
    assert code == 0
    assert "$ consilium check-site /opt/consilium/north" in out
    assert "Exit code: 0 ready" in out
