"""One provisioned federation for all of these tests: attacked first, and then asked to work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nvflare.fuel.flare_api.flare_api import MonitorReturnCode, Session

from consilium.federation.server.user_session import read_job
from waiting import DEADLINE_SECONDS, wait_until

from ..accounts import Watch
from ..studies import export
from . import hostile
from .credentials import put_expired_certificate, put_foreign_certificate
from .federation import (
    LEAD,
    MEMBER,
    NORTH_ADMIN,
    PROJECT_ADMIN,
    SERVER_NAME,
    SITES,
    SOUTH_ADMIN,
    Federation,
    free_port,
    provision,
    read,
)
from .network import Network, missing
from .raid import MALLORY, STRANGER, raid

NO_NAMESPACES = missing()
"""Why this machine has no network namespaces; None if it has."""

ENDLESS_ROUNDS = 200
"""Of a job that is aborted long before."""

SUBMITTERS = (LEAD, PROJECT_ADMIN, NORTH_ADMIN, MEMBER)
SHELL_COMMANDS = ("pwd {}", "ls {}", "cat {} log.txt", "tail {} log.txt", "grep {} case log.txt")


@pytest.fixture(scope="session")
def federation(hospitals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The project of `provision/project.yml`: three hospitals, each with a network of its own."""
    root = tmp_path_factory.mktemp("provisioned")
    port = free_port()
    network = Network([*SITES, STRANGER], port, isolated=NO_NAMESPACES is None)
    federation = Federation({}, network, root)
    try:
        datasets = {site: hospitals[site] for site in SITES}
        federation.kits, state = provision(
            root / "project", datasets, network.address["server"], port, edit=_add_mallory
        )
        _make_intruders(federation, state)
        census = root / "census"
        census.mkdir()
        for participant in (SERVER_NAME, *SITES):
            federation.start(participant, environment=_observed(census))
        wait_until(lambda: "Server started" in federation.log_of(SERVER_NAME), "the server started")
        with federation.session(LEAD) as session:
            wait_until(lambda: federation.connected(session) == set(SITES), "all sites connected")
        yield federation
    finally:
        try:
            federation.stop()
        finally:
            network.close()


def _add_mallory(project: dict[str, Any]) -> None:
    kit = {"name": MALLORY, "type": "client", "org": "mallory_hospital", "consilium": {"dataset": "data"}}
    project["participants"].append(kit)


def _observed(census: Path) -> dict[str, str]:
    """The environment of a process that writes down what it answers to."""
    folders = (str(Path(__file__).with_name("census")), os.environ.get("PYTHONPATH"))
    return {"CONSILIUM_CENSUS": str(census), "PYTHONPATH": os.pathsep.join(filter(None, folders))}


@pytest.fixture(scope="session")
def census(federation: Federation) -> Path:
    """Where the processes write down what they answer to."""
    return federation.root / "census"


def _make_intruders(federation: Federation, state: Path) -> None:
    """Copy a hospital's kit before it is used, and change the copies."""
    for name in ("foreign", "expired", "tampered", "alone"):
        federation.kits[name] = federation.root / "copies" / name
        shutil.copytree(federation.kits["north"], federation.kits[name])
    put_foreign_certificate(federation.kits["foreign"])
    put_expired_certificate(federation.kits["expired"], state)
    for name in ("foreign", "expired"):  # an attacker takes away what betrays him
        (federation.kits[name] / "startup/signature.json").unlink()
    changed = federation.kits["tampered"] / "startup/fed_client.json"
    changed.write_text(changed.read_text().replace('"is_leaf": true', '"is_leaf": false'))


@dataclass
class Attacks:
    """What was tried, and what came of it.

    Args:
        pids: The processes of server and sites before all of it.
        submissions: User and job to the error that the user got, or the id of the accepted job.
        commands: Command line to the server's reply, all by the org admin of the hospital `south`.
        scope: What the job with an unknown scope came to.
        running: What the job that ran during the raid came to, which the lead aborted after it.
        raids: Attacker to what its process sent and was answered.
    """

    pids: dict[str, str]
    submissions: dict[tuple[str, str], str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)
    running: dict[str, Any] = field(default_factory=dict)
    raids: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.fixture(scope="session")
def intruders(federation: Federation) -> Iterator[Federation]:
    """Clients that should not get in, at a host of their own, as long as the tests run."""
    for name in ("foreign", "expired", "tampered"):
        federation.start(name, host=STRANGER)
    yield federation
    for name in ("foreign", "expired", "tampered"):
        federation.stop(federation.kits[name])


@pytest.fixture(scope="session")
def attacks(intruders: Federation, tmp_path_factory: pytest.TempPathFactory) -> Attacks:
    """Try everything that the users of a federation should not be able to do."""
    federation, folder = intruders, tmp_path_factory.mktemp("hostile")
    done = Attacks(pids_of(federation))
    ordinary = export(folder / "ordinary")
    jobs = hostile.make(ordinary, folder)
    for user in SUBMITTERS:
        with federation.session(user) as session:
            for name in jobs if user == LEAD else ["code of its own"]:
                done.submissions[user, name] = _submit(session, jobs[name])
            if user == NORTH_ADMIN:
                done.submissions[user, "ordinary"] = _submit(session, ordinary)
            if user == LEAD:
                done.scope = _submit_with_unknown_scope(session, ordinary, folder)
    with federation.session(SOUTH_ADMIN) as session:
        for site in ("north", "server", "south"):
            for command in SHELL_COMMANDS:
                done.commands[command.format(site)] = str(session.do_command(command.format(site)))
    with federation.session(LEAD) as session:
        endless = session.submit_job(str(export(folder / "endless", {"rounds": ENDLESS_ROUNDS})))
        wait_until(lambda: _trains_everywhere(session, endless), "a job trains at all sites")
        done.raids = raid(federation, endless)
        during = session.get_job_meta(endless)["status"]
        wait_until(lambda: _trains_everywhere(session, endless), "the job continues")
        session.abort_job(endless)
        done.running = {"during": during, "after": finish(session, endless)["status"]}
    return done


def _trains_everywhere(session: Session, job: str) -> bool:
    """Return whether all sites work for a job, as the lead is shown."""
    progress = read_job(session, job).progress
    return progress is not None and set(progress.sites) >= set(SITES)


def pids_of(federation: Federation) -> dict[str, str]:
    """Return the process id of each participant, as its start script wrote it down."""
    return {name: read(federation.kits[name] / "pid.fl").strip() for name in (SERVER_NAME, *SITES)}


def _submit(session: Session, job: Path) -> str:
    try:
        return f"accepted {session.submit_job(str(job))}"
    except Exception as error:  # noqa: BLE001 - whatever FLARE says is what is checked
        return f"{type(error).__name__}: {error}"


def _submit_with_unknown_scope(session: Session, ordinary: Path, folder: Path) -> dict[str, Any]:
    job = folder / "scope" / ordinary.name
    shutil.copytree(ordinary, job)
    hostile.edit_json(job / "meta.json", lambda meta: meta.update(scope="research"))
    job_id = session.submit_job(str(job))
    finish(session, job_id)
    # The server writes down what the sites said after it has ended the job.
    wait_until(lambda: "job_deploy_detail" in session.get_job_meta(job_id), "the sites' answers are known")
    return dict(session.get_job_meta(job_id))


def finish(session: Session, job_id: str) -> dict[str, Any]:
    """Wait for a job's end; returns its description."""
    code, meta = session.monitor_job_and_return_job_meta(job_id, timeout=DEADLINE_SECONDS)
    if code != MonitorReturnCode.JOB_FINISHED:
        with suppress(Exception):
            session.abort_job(job_id)
    assert code == MonitorReturnCode.JOB_FINISHED, f"{code}: {meta}"
    return dict(meta)


@dataclass(frozen=True)
class FinishedJob:
    """A job of the attacked federation.

    Args:
        meta: Its description by the server.
        server: The server's workspace.
        sent: Site to the bytes that left it by TCP, from the job's submission to its end.
        received: Site to the bytes that reached its network card in that time.
        watch: What lay in the kits of server and sites while it ran.
    """

    meta: dict[str, Any]
    server: Path
    sent: dict[str, int]
    received: dict[str, int]
    watch: Watch


@pytest.fixture(scope="session")
def job(federation: Federation, attacks: Attacks, tmp_path_factory: pytest.TempPathFactory) -> FinishedJob:
    """An ordinary job, after all attacks."""
    folder = export(tmp_path_factory.mktemp("last"))
    network = federation.network

    def count(site: str) -> tuple[int, int]:
        return (0, 0) if NO_NAMESPACES else (network.payload_sent(site), network.bytes_received(site))

    kits = [federation.kits[name] for name in (SERVER_NAME, *SITES)]
    with federation.session(LEAD) as session, Watch(kits) as watch:
        before = {site: count(site) for site in SITES}
        meta = finish(session, session.submit_job(str(folder)))
        after = {site: count(site) for site in SITES}
    sent, received = ({site: after[site][way] - before[site][way] for site in SITES} for way in (0, 1))
    return FinishedJob(meta, federation.kits[SERVER_NAME], sent, received, watch)
