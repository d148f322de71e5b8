"""How much memory the server takes with 64 sites, against 2.

The sites are light: they train nothing, but send what a trained site would, a full update in every round.

First the controller with its aggregation alone, in a process of its own, with updates that arrive one by one:
this is what the package adds to FLARE. With `--federation`, then a provisioned server, started with its kit's
script, and hospitals with their own certificates, whose ends of the connections are in other processes. All
updates arrive at once there. Its two processes are measured: the one that lasts, and the one of the job.

Peaks are the operating system's (`VmHWM`: resident memory, with what is shared counted whole). 64 light
hospitals take another 7 GiB, and share the cores with the server that they ask; a run takes about 3 minutes.

    python benchmarks/server_memory.py
    python benchmarks/server_memory.py --network unet_small --federation
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import psutil
from nvflare.apis.signal import Signal
from nvflare.fuel.flare_api.api_spec import NoConnection

from light_sites import STEPS, ForkLauncher, answer, serve, start_client
from process_peaks import Peak, describe, processes_running, together

HERE = Path(__file__).resolve()
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(REPOSITORY))

FEW, ROUNDS = 2, 3
ENTERING = 16
"""Hospitals that are started at a time."""

SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_LINES = 0.5, 10.0
SYNC_SECONDS = {"NVFLARE_RUNNER_SYNC_TIMEOUT": "60", "NVFLARE_MAX_RUNNER_SYNC_TIMEOUT": "600"}
"""How long a hospital's process waits for the server's, with which it shares the cores here. By default it
asks again after two seconds; where all do, before the server comes to answer, it never catches up."""

JOB, PARENT = "the job's process", "the parent process"
PROCESSES = {"runner_process": JOB, "server_train": PARENT}
"""FLARE's modules that the server runs, and what they are called here."""


def settings(network: str, sites: int, rule: str) -> dict[str, Any]:
    """Return what differs from the main job."""
    return {
        "rounds": ROUNDS,
        "min_sites": sites,
        "aggregation.rule": rule,
        "learning.network": network,
        "learning.local_steps": STEPS,
    }


def control(network: str, sites: int, rule: str, folder: Path) -> None:
    """Run the controller in this process, and its sites one after the other."""
    from tests.unit.federation.flare import Engine
    from tests.unit.federation.rehearsal import Rehearsal

    from consilium.federation.rounds.persistor import WeightsPersistor
    from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

    logging.disable(logging.CRITICAL)
    learning = BrainTumorSettings(network=network, local_steps=STEPS).model_dump(mode="json")
    names = [f"site-{index}" for index in range(sites)]
    engine = Engine(folder, {"persistor": WeightsPersistor(learning)}, names)
    controller = Rehearsal(ROUNDS, sites, learning, aggregation={"rule": rule})
    controller.sites = {name: lambda task, model, name=name: answer(name, task, model) for name in names}
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)


def measure_controller(network: str, sites: int, rule: str, folder: Path, until: float) -> dict[str, Peak]:
    """Run the controller in a process of its own; returns its peak."""
    peak = Peak()
    options = ("--network", network, "--sites", str(sites), "--rule", rule)
    with process("controller", folder, *options) as running:
        while running.poll() is None:
            peak.note(running)
            pause(until)
    check_record(folder, sites)
    return {"controller": peak}


def measure_federation(network: str, sites: int, rule: str, folder: Path, until: float) -> dict[str, Peak]:
    """Run the job at a provisioned server; returns the peaks of its processes."""
    from tests.integration.security.federation import (
        LEAD,
        SERVER_NAME,
        SITES,
        Federation,
        free_port,
        provision,
    )
    from tests.integration.security.network import Network

    from consilium.recipes.catalog import build_recipe
    from consilium.recipes.exported_job import export_job

    names = [f"site-{index:03d}" for index in range(sites)]

    def enroll(project: dict[str, Any]) -> None:
        kept = [one for one in project["participants"] if one["type"] != "client"]
        hospital = {"type": "client", "org": "hospital", "consilium": {"dataset": "/data"}}
        project["participants"] = [*kept, *({**hospital, "name": name} for name in names)]
        del project["studies"]

    say(f"{sites} sites: making the kits")
    port = free_port()
    kits, _ = provision(folder / "project", dict.fromkeys(SITES, folder), "127.0.0.1", port, enroll)
    for name in names:
        fork_jobs(kits[name] / "local")
    job = export_job(build_recipe("brain_tumor_fedavg", settings(network, sites, rule)), folder / "job")
    federation = Federation(kits, Network(names, port, isolated=False), folder)
    server, door = kits[SERVER_NAME], folder / "door"
    peaks = {name: Peak() for name in PROCESSES.values()}

    def wait_for(condition: Callable[[], Any], what: Callable[[], str]) -> None:
        said = 0.0
        while not held(condition):
            for module, name in PROCESSES.items():
                for one in processes_running(module, server):
                    peaks[name].note(one)
            if time.monotonic() - said > SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                say(f"{sites} sites: {what()}; {describe(peaks)}")
            pause(until)

    try:
        federation.start(SERVER_NAME)
        wait_for(lambda: "Server started" in federation.log_of(SERVER_NAME), lambda: "the server starts")
        with redirect_stdout(sys.stderr), process("sites", folder), federation.session(LEAD) as session:
            wait_for(door.exists, lambda: "the hospitals are being prepared")
            for first in range(0, sites, ENTERING):
                group = names[first : first + ENTERING]
                for name in group:
                    start_client(str(door), kits[name], name)
                wait_for(
                    lambda group=group: set(group) <= federation.connected(session),
                    lambda first=first: f"{first} are connected",
                )
            job_id = session.submit_job(str(job))

            def is_finished() -> bool:
                if not peaks[JOB].mib or any(processes_running("runner_process", server)):
                    return False
                status = session.get_job_meta(job_id).get("status")
                return str(status).startswith("FINISHED")

            wait_for(is_finished, lambda: standing(server / job_id / "progress.json"))
            session.download_job_result(job_id, str(folder / "result"))
    finally:
        federation.stop()
    check_record(folder / "result", sites)
    return peaks


def fork_jobs(local: Path) -> None:
    """Let a hospital's kit fork the processes of its jobs."""
    resources = json.loads((local / "resources.json.default").read_text())
    (launcher,) = (one for one in resources["components"] if one["id"] == "process_launcher")
    launcher["path"] = f"{ForkLauncher.__module__}.{ForkLauncher.__name__}"
    (local / "resources.json").write_text(json.dumps(resources))


@contextmanager
def process(role: str, folder: Path, *words: str) -> Iterator[psutil.Popen]:
    """Run this script in another role, and end it with the block; what it prints goes to a file."""
    command = [sys.executable, str(HERE), "--as", role, "--folder", str(folder), *words]
    with (folder / f"{role}.log").open("w") as log:
        running = psutil.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment())
        try:
            yield running
        finally:
            with suppress(psutil.NoSuchProcess):
                running.kill()
            running.wait()


def environment() -> dict[str, str]:
    """Return the environment of all processes: they find the light sites, and calculate in one thread.

    `SYNC_SECONDS` are in it, as FLARE reads its settings from there, too, and no job may hold them.
    """
    path = os.pathsep.join([str(HERE.parent), str(REPOSITORY / "custom")])
    alone = {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **alone, **SYNC_SECONDS}


def check_record(folder: Path, sites: int) -> None:
    """Make sure that every site was in every round.

    Raises:
        SystemExit: If not.
    """
    (path,) = folder.rglob("federation.json")
    record = json.loads(path.read_text())
    trained = [sum(one["weight"] > 0 for one in done["sites"].values()) for done in record["rounds"]]
    if record["status"] != "finished" or trained != [sites] * ROUNDS:
        raise SystemExit(f"{sites} sites: {record['status']}, {record['reason']}, trained: {trained}")


def standing(progress: Path) -> str:
    """Say where the job stands."""
    try:
        read = json.loads(progress.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return "the job starts or ends"
    waiting = sum(site["answer"] == "awaited" for site in read["sites"].values())
    return f"{read['task']}, round {read['round']} of {read['rounds']}, {waiting} answers are awaited"


def held(condition: Callable[[], Any]) -> bool:
    """Return whether a condition holds; a server that is too busy to answer doesn't say so."""
    try:
        return bool(condition())
    except NoConnection:
        return False


def pause(until: float) -> None:
    """Wait until it is time to look again.

    Raises:
        SystemExit: If the time is up.
    """
    if time.monotonic() > until:
        raise SystemExit("it took too long; --minutes gives it more, and an idle machine makes it faster")
    time.sleep(SECONDS_BETWEEN_LOOKS)


def say(text: str) -> None:
    """Tell on stderr how it goes."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="segresnet", help="segresnet: 18 MiB an update; unet_small: 1.9")
    parser.add_argument("--sites", type=int, default=64, help=f"to compare with {FEW}; default: 64")
    parser.add_argument("--federation", action="store_true", help="measure a provisioned server as well")
    parser.add_argument("--minutes", type=float, default=20, help="that one run may take; default: 20")
    parser.add_argument("--as", dest="role", choices=("controller", "sites"), help=argparse.SUPPRESS)
    parser.add_argument("--rule", default="mean", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "sites":
        return serve(str(options.folder / "door"))
    if options.role == "controller":
        return control(options.network, options.sites, options.rule, options.folder)
    os.environ.update(environment())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # everything that was started ends with it
    runs = [(measure_controller, "mean"), (measure_controller, "median")]
    runs += [(measure_federation, "mean")] if options.federation else []
    for measure, rule in runs:
        found = []
        for sites in (FEW, options.sites):
            with tempfile.TemporaryDirectory() as name:
                until = time.monotonic() + 60 * options.minutes
                found.append(measure(options.network, sites, rule, Path(name), until))
        few, many = found
        if len(few) > 1:  # these run at the same time
            for peaks in found:
                peaks["both processes"] = together(peaks)
        for name, peak in many.items():
            line = f"{name}, {options.network}, {rule}: {FEW} sites {few[name].mib:.0f} MiB, {options.sites} "
            line += f"sites {peak.mib:.0f} MiB, ratio {peak.mib / few[name].mib:.2f}; "
            print(f"{line}{few[name].threads} and {peak.threads} threads", flush=True)
    return None


if __name__ == "__main__":
    main()
