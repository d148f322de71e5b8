import pytest

from consilium.provisioning.kit import Kit
from consilium.site_check import software
from consilium.site_check.finding import Status
from consilium.site_check.software import check_software

from .federation import write


def found(root):
    return {finding.id: finding for finding in check_software(Kit(root))}


def test_the_software_of_these_tests_is_well(root):
    assert {finding.status for finding in found(root).values()} == {Status.OK}


def test_another_python_on_the_path_is_rejected(root, tmp_path, monkeypatch, refused):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(found(root)["software.python"], "no python3 on the PATH", "source VENV/bin/activate")
    script = tmp_path / "python3"
    for answer, seen in (
        ("exit 1", "has no consilium"),
        ("echo 0.0.9 /usr", "another installation, with consilium 0.0.9"),
    ):
        script.write_text(f"#!/bin/sh\n{answer}\n")
        script.chmod(0o755)
        refused(found(root)["software.python"], seen, "source VENV/bin/activate")


def test_another_flare_is_rejected(root, monkeypatch, refused):
    own = software.component_versions()
    monkeypatch.setattr(software, "component_versions", lambda: own | {"nvflare": "2.10.1"})
    findings = found(root)
    refused(findings["software.nvflare"], "nvflare 2.10.1 is installed", "'nvflare<2.10,>=2.9'")
    refused(findings["software.versions"], "versions do not fit", "constraints.txt consilium-*.whl")


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("expected", ["0.99.0", "9.0"])
def test_a_federation_of_another_version_is_rejected(root, refused, expected):
    write(root / "local" / "consilium.json", {"consilium": expected, "nvflare": "2.9.0"})
    finding = found(root)["software.versions"]
    refused(finding, f"and {expected} there", f"in the folder of release {expected}")
    assert finding.data["expected_consilium"] == expected


def test_a_kit_that_names_no_versions_is_not_called_right(root):
    (root / "local" / "consilium.json").unlink()
    finding = found(root)["software.versions"]
    assert finding.status is Status.SKIPPED
    assert "local/consilium.json" in finding.seen


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("content", ["{", "[]", '{"consilium": "0.1"}', '{"consilium": 1, "nvflare": "2.9"}'])
def test_a_broken_version_file_is_named(root, refused, content):
    (root / "local" / "consilium.json").write_text(content)
    refused(found(root)["software.versions"], "local/consilium.json", "this file again")
