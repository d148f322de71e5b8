"""A federation whose server and hospitals run in the image, as their kits' compose files say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from consilium.provisioning.runtimes.docker_compose import ENV_FILE, USER_ID
from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout
from integration.security.federation import (
    LEAD,
    REPOSITORY,
    SERVER_NAME,
    SITES,
    Federation,
    free_port,
    provision,
)
from integration.security.network import Network
from integration.studies import export
from waiting import wait_until

from .containers import HEALTH, IMAGE, Chroot, Podman, build_image, missing, pip_settings, run

pytestmark = pytest.mark.drill

_HOSPITALS = ("north", "south")
_DATASET = Path("/data/brats")
"""Where the containers see it."""

_OF_THE_BASE = ("pip==", "wheel==", "consilium==")

_COHORT = CohortSpec(
    hospitals=tuple(HospitalSpec(name=site, layout=CaseLayout.BRATS_2020, cases=3) for site in _HOSPITALS),
    grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
)


@pytest.fixture(scope="module")
def image() -> str:
    if lacking := missing(Chroot.needs):
        pytest.skip(lacking)
    build_image()
    return IMAGE


@pytest.fixture(params=[Chroot, Podman], ids=["chroot", "podman"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chroot | Podman]:
    if lacking := missing(request.param.needs):
        pytest.skip(lacking)
    request.getfixturevalue("image")
    engine = request.param(tmp_path)
    yield engine
    engine.close()


@pytest.fixture
def kits(engine: Chroot | Podman, tmp_path: Path) -> dict[str, Path]:
    """Kits as hospitals have them when they have followed docs/containers.md."""
    datasets = make_cohort(_COHORT, tmp_path / "archives").hospitals
    port = free_port()

    made, _ = provision(tmp_path / "project", dict.fromkeys(SITES, _DATASET), engine.address, port)
    for name in _HOSPITALS:
        with (made[name] / ENV_FILE).open("a") as file:
            file.write(f"CONSILIUM_DATA={datasets[name]}\n")
    for name in (SERVER_NAME, *_HOSPITALS):
        with (made[name] / ENV_FILE).open("a") as file:
            file.write(
                f"CONSILIUM_IMAGE={IMAGE}\nCONSILIUM_MEMORY=3g\nCONSILIUM_TMP=256m\nCONSILIUM_SHM=256m\n"
            )
        run("chown", "-R", f"{USER_ID}:{USER_ID}", str(made[name]))
    for folder in (tmp_path, *tmp_path.parents[:2]):  # the account of the image has to reach its folders
        folder.chmod(folder.stat().st_mode | 0o011)
    run("chmod", "-R", "a+rX", str(tmp_path / "archives"))
    return made


def test_a_job_trains_in_containers(engine: Chroot | Podman, kits: dict[str, Path], tmp_path: Path) -> None:
    federation = Federation(kits, Network(_HOSPITALS, 0, isolated=False), tmp_path)
    engine.start(kits[SERVER_NAME])
    wait_until(lambda: "Server started" in federation.log_of(SERVER_NAME), "the server started")
    for name in _HOSPITALS:
        engine.start(kits[name])
        wait_until(partial(_has_registered, federation, name), f"{name} registered")

    for name in (SERVER_NAME, *_HOSPITALS):
        assert engine.run(kits[name], *HEALTH).strip() == "healthy", name
        processes = engine.processes(kits[name])
        assert processes
        assert {one.uids().real for one in processes} == {USER_ID}
        assert not any(_capabilities(one) for one in processes)
        assert [
            file for file in kits[name].rglob("*") if file.is_file() and file.stat().st_mode & 0o077
        ] == []
    engine.run(kits["north"], "consilium", "check", str(_DATASET))
    checked = json.loads(engine.run(kits["north"], "consilium", "check-site", "/kit", "--json"))
    assert [one for one in checked["checks"] if one["status"] == "failed"] == []
    assert "images NOT checked" not in json.dumps(checked)
    _has_memory_settings(engine.processes(kits[SERVER_NAME]))

    with federation.session(LEAD) as session:
        wait_until(lambda: federation.connected(session) == set(_HOSPITALS), "both are connected")
        job_id = session.submit_job(str(export(tmp_path / "job")))
        wait_until(lambda: _status(session, job_id).startswith("FINISHED"), "the job ended", pause=1)
        assert _status(session, job_id) == "FINISHED:COMPLETED", federation.log_of(SERVER_NAME)[-4000:]

    assert "ended with success" in engine.run(kits["north"], "consilium", "status", "--site", "/kit")
    if isinstance(engine, Podman):
        _limits_hold(engine, kits["north"])
        _is_restarted(engine, kits["north"], federation)


def test_the_image_is_complete_pinned_and_keeps_no_secret(image: str) -> None:
    container = run("buildah", "from", "--pull-never", image).strip()
    try:

        def inside(*words: str) -> str:
            return run("buildah", "run", "--isolation", "chroot", "--user", "0", container, "--", *words)

        about = json.loads(run("buildah", "inspect", "--type", "image", image))
        settings = about["Docker"]["config"]
        assert settings["User"] == f"{USER_ID}:{USER_ID}"
        assert settings["Healthcheck"]["Test"] == ["CMD", *HEALTH]
        labels = settings["Labels"]
        assert labels["org.opencontainers.image.version"] == version("consilium")
        assert labels["org.opencontainers.image.revision"].startswith(
            run("git", "-C", str(REPOSITORY), "rev-parse", "HEAD").strip()
        )
        assert "No broken requirements" in inside("python3", "-m", "pip", "check")
        constraints = (REPOSITORY / "constraints.txt").read_text()
        pins = {_canonical(one) for one in re.findall(r"^[^#\s]\S*==[^\s;]+", constraints, re.MULTILINE)}
        frozen = inside("python3", "-m", "pip", "list", "--format", "freeze").split()
        assert {_canonical(one) for one in frozen if not one.startswith(_OF_THE_BASE)} <= pins
        left = "cat /etc/pip.conf /root/.config/pip/* /tmp/* /run/secrets/* 2>/dev/null; env"
        reported = json.dumps(about) + inside("sh", "-c", left)
        for value in pip_settings().values():
            assert not any(part in reported for part in value.split() if "/" in part)
    finally:
        run("buildah", "rm", container)


def _canonical(requirement: str) -> str:
    name, _, version = requirement.partition("==")
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version.partition('+')[0]}"


def _status(session: Any, job_id: str) -> str:
    return str(session.get_job_meta(job_id).get("status"))


def _capabilities(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"^CapEff:\s*(\w+)", status, re.MULTILINE)[0], 16)


def _has_memory_settings(processes: list[psutil.Process]) -> None:
    for process in processes:
        variables = Path(f"/proc/{process.pid}/environ").read_text()
        assert "GLIBC_TUNABLES=glibc.malloc.arena_max=1" in variables


def _limits_hold(engine: Podman, kit: Path) -> None:
    host = engine.inspect(kit)["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["Memory"] == 3 * 2**30
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    written = "/x /opt/x /kit/startup/x /kit/local/x /data/brats/x"
    engine.run(kit, "sh", "-c", f"touch {written}")
    assert engine.run(kit, "sh", "-c", f"ls {written} 2>/dev/null") == ""


def _is_restarted(engine: Podman, kit: Path, federation: Federation) -> None:
    """A site whose process dies is up again: the container is restarted."""
    before = _has_registered(federation, kit.name)
    engine.processes(kit)[0].kill()
    wait_until(lambda: _has_registered(federation, kit.name) > before, f"{kit.name} is back", pause=1)


def _has_registered(federation: Federation, name: str) -> int:
    return federation.log_of(name).count("Successfully registered")
