"""Check of the software: the kit's Python and the federation's versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires

from packaging.requirements import Requirement

from consilium.errors import ConfigurationError
from consilium.federation.versions import component_versions, incompatibility
from consilium.provisioning.kit import Kit
from consilium.provisioning.kit_versions import EXPECTED_VERSIONS, read_expected_versions
from consilium.site_check.finding import SiteCheck, SiteFinding

PYTHON = SiteCheck("software.python", "The kit starts the right Python")
FLARE = SiteCheck("software.nvflare", "FLARE version is supported")
VERSIONS = SiteCheck("software.versions", "Versions match the federation's")

_SECONDS = 30.0
_ASK = "import sys; from importlib.metadata import version; print(version('consilium'), sys.prefix)"


def check_software(kit: Kit) -> Iterator[SiteFinding]:
    """Check the Python that `startup/start.sh` would use and the versions installed there."""
    own = component_versions()
    yield _check_python(kit)
    yield _check_flare(own["nvflare"])
    yield _check_versions(kit, own)


def _check_python(kit: Kit) -> SiteFinding:
    if kit.runtime in ("docker", "k8s"):
        return PYTHON.skipped(f"this kit is for {kit.runtime}: the image brings its own Python")
    activate = (
        "in the shell that runs startup/start.sh, activate the environment first: source VENV/bin/activate"
    )
    found = shutil.which("python3")
    if found is None:
        return PYTHON.failed("there is no python3 on the PATH, which startup/sub_start.sh starts", activate)
    try:
        answer = subprocess.run(
            [found, "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return PYTHON.failed(f"python3 on the PATH does not run: {type(error).__name__}", activate)
    version, _, prefix = answer.stdout.strip().partition(" ")
    if answer.returncode:
        return PYTHON.failed("the python3 on the PATH, which the kit starts, has no consilium", activate)
    if prefix != sys.prefix:
        return PYTHON.failed(
            f"the python3 on the PATH is another installation, with consilium {version}, than the one that "
            "runs this check",
            activate,
        )
    return PYTHON.ok(f"python3 on the PATH has consilium {version}")


def _check_flare(installed: str) -> SiteFinding:
    needed = next(
        requirement
        for requirement in map(Requirement, requires("consilium") or ())
        if requirement.name == "nvflare"
    )
    if not needed.specifier.contains(installed, prereleases=True):
        return FLARE.failed(
            f"nvflare {installed} is installed; this consilium needs nvflare{needed.specifier}",
            f"in the release folder: pip install -c constraints.txt 'nvflare{needed.specifier}'",
            data={"installed": installed, "needed": str(needed.specifier)},
        )
    return FLARE.ok(
        f"nvflare {installed} ({needed.specifier})",
        data={"installed": installed, "needed": str(needed.specifier)},
    )


def _check_versions(kit: Kit, own: dict[str, str]) -> SiteFinding:
    try:
        expected = read_expected_versions(kit.root)
    except ConfigurationError as error:
        return VERSIONS.failed(str(error), "ask the project admin for this file again")
    if expected is None:
        return VERSIONS.skipped(
            f"the kit has no {EXPECTED_VERSIONS}, so it does not say which versions the federation uses; "
            f"here: consilium {own['consilium']}, nvflare {own['nvflare']}"
        )
    problem = incompatibility(own, expected)
    data = {f"installed_{name}": own[name] for name in ("consilium", "nvflare")} | {
        f"expected_{name}": value for name, value in expected.items()
    }
    if problem:
        return VERSIONS.failed(
            problem,
            f"in the folder of release {expected['consilium']}, from the project admin: pip install "
            "-c constraints.txt consilium-*.whl; it brings the nvflare that it needs",
            data=data,
        )
    return VERSIONS.ok(
        f"consilium {own['consilium']}, nvflare {own['nvflare']}; the federation uses "
        f"{expected['consilium']}, {expected['nvflare']}",
        data=data,
    )
