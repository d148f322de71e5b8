"""Kits that `nvflare deploy prepare` has made for containers and for Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from consilium.provisioning.kit import Kit
from consilium.site_check.credentials import check_credentials
from consilium.site_check.finding import Status
from consilium.site_check.readiness import check_site

CONFIGURATIONS = {
    "docker": {"runtime": "docker", "parent": {"docker_image": "consilium:0.1.0"}},
    "k8s": {"runtime": "k8s", "parent": {"docker_image": "consilium:0.1.0"}},
}


@pytest.fixture(params=CONFIGURATIONS)
def prepared(request, root, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIGURATIONS[request.param]))
    command = [Path(sys.executable).parent / "nvflare", "deploy", "prepare", root]
    command += ["--output", tmp_path / "prepared", "--config", tmp_path / "config.yaml"]
    done = subprocess.run(
        command,
        env={**os.environ, "HOME": str(tmp_path / "home")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kit = Kit(tmp_path / "prepared")
    assert kit.runtime == request.param
    return kit


@pytest.mark.quick_cases(1)
def test_a_prepared_kit_is_ready_without_the_scripts_it_does_not_need(prepared, job):
    findings = {finding.id: finding for finding in check_site(prepared, job, offline=True).findings}
    assert [finding for finding in findings.values() if finding.status is Status.FAILED] == []
    assert findings["kit.signature"].status is Status.OK
    for name in ("software.python", "machine.gpus"):
        assert findings[name].status is Status.SKIPPED
        assert prepared.runtime in findings[name].seen


@pytest.mark.long
@pytest.mark.parametrize("prepared", ["docker"], indirect=True)
def test_a_start_script_that_was_removed_is_missed(prepared, refused):
    (prepared.startup / "start_docker.sh").unlink()
    files = next(check_credentials(prepared))
    refused(files, "missing: startup/start_docker.sh", "ask the project admin for the kit again")
