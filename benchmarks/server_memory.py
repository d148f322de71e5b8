"""How much memory the server takes with 64 sites, against 2.

The sites are light: they train nothing, but send what a trained site would, a full update in every round.
First the controller with its aggregation alone, in a process of its own, with updates that arrive one by one:
this is what the package adds to FLARE. With `--simulator`, then the whole server in FLARE's simulator, where
the updates arrive all at once, and where one process holds both ends of all connections.

Peaks are asked of the operating system (`VmHWM`).

    python benchmarks/server_memory.py [--network NAME] [--sites NUMBER] [--simulator]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

HERE = Path(__file__).resolve()
FEW, ROUNDS, STEPS, CASES = 2, 3, 1, 10
SECONDS_BETWEEN_LOOKS = 0.2


def answer(site: str, task: str, model: FLModel) -> Shareable:
    """Answer a task as a site would; an update is random, and as long as every other."""
    trains = task == "train"
    report = {"role": "trains", "train_cases": CASES, "validation_cases": 2, "steps": STEPS if trains else 0}
    random = np.random.default_rng([model.current_round, *site.encode()])
    update = {
        name: 1e-3 * random.standard_normal(value.shape, dtype=np.float32)
        for name, value in (model.params or {}).items()
        if trains
    }
    return FLModelUtils.to_shareable(
        FLModel(
            params_type=ParamsType.DIFF if trains else None,
            params=update or None,
            metrics={"validation_cases": 2.0, **({"dice": 0.5} if model.params else {})},
            current_round=model.current_round,
            meta={"consilium.report": report},
        )
    )


class LightSite(Executor):
    """A light site in the simulator."""

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Carry out a task at once."""
        return answer(fl_ctx.get_identity_name(), task_name, FLModelUtils.from_shareable(shareable))


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
    sys.path.insert(0, str(HERE.parents[1]))
    from tests.unit.federation.flare import Engine
    from tests.unit.federation.rehearsal import Rehearsal

    from consilium.federation.rounds.persistor import WeightsPersistor
    from consilium.learning.settings import LearningSettings

    logging.disable(logging.CRITICAL)
    learning = LearningSettings(network=network, local_steps=STEPS).model_dump(mode="json")
    names = [f"site-{index}" for index in range(sites)]
    engine = Engine(folder, {"persistor": WeightsPersistor(learning)}, names)
    controller = Rehearsal(rounds=ROUNDS, min_sites=sites, aggregation={"rule": rule})
    controller.sites = {name: lambda task, model, name=name: answer(name, task, model) for name in names}
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)


def simulate(network: str, sites: int, rule: str, folder: Path) -> None:
    """Run the job in FLARE's simulator."""
    from nvflare.private.fed.app.simulator.simulator_runner import SimulatorRunner

    from consilium.provisioning.policy import allowed_classes
    from consilium.recipes.catalog import build_recipe, export_job

    job = export_job(build_recipe("brain_tumor_fedavg", settings(network, sites, rule)), folder / "job")
    config = job / "app/config/config_fed_client.json"
    client = json.loads(config.read_text())
    (executor,) = client["executors"]
    executor["executor"] = {"path": f"{HERE.stem}.{LightSite.__name__}", "args": {}}
    config.write_text(json.dumps(client))
    local = folder / "simulation/local"
    local.mkdir(parents=True)
    allowed = [*allowed_classes(), f"{HERE.stem}."]
    (local / "resources.json").write_text(json.dumps({"format_version": 2, "class_allow_list": allowed}))
    runner = SimulatorRunner(
        job_folder=str(job),
        workspace=str(folder / "simulation"),
        clients=",".join(f"site-{index}" for index in range(sites)),
        threads=sites,
    )
    sys.exit(runner.run())


def measure(how: str, network: str, sites: int, rule: str) -> float:
    """Run the job with that many sites in a process of its own; returns the server's peak memory in MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, str(HERE), "--as", how, "--network", network, "--sites", str(sites)]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONWARNINGS": "ignore"}
        peak = 0.0
        with (folder / "log").open("w") as log:
            process = psutil.Popen(
                [*command, "--rule", rule, "--folder", name],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            while process.poll() is None:
                peak = max(peak, server_peak(process))
                time.sleep(SECONDS_BETWEEN_LOOKS)
        (path,) = folder.rglob("federation.json")
        record = json.loads(path.read_text())
        trained = [sum(one["weight"] > 0 for one in done["sites"].values()) for done in record["rounds"]]
        if record["status"] != "finished" or trained != [sites] * ROUNDS:
            raise SystemExit(f"{sites} sites: {record['status']}, {record['reason']}, trained: {trained}")
        return peak


def server_peak(process: psutil.Process) -> float:
    """Return the peak in MiB of the process that is the server: the one with most threads."""
    busiest, peak = 0, 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            if "simulator_worker" in " ".join(one.cmdline()):
                continue
            lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
            values = dict(line.split(":", 1) for line in lines if ":" in line)
            if int(values["Threads"]) >= busiest and "VmHWM" in values:
                busiest, peak = int(values["Threads"]), int(values["VmHWM"].split()[0]) / 1024
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
    return peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="segresnet")
    parser.add_argument("--sites", type=int, default=64)
    parser.add_argument("--simulator", action="store_true")
    parser.add_argument("--as", dest="how", choices=("controller", "simulator"), help=argparse.SUPPRESS)
    parser.add_argument("--rule", default="mean", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.how is not None:
        run = control if options.how == "controller" else simulate
        return run(options.network, options.sites, options.rule, options.folder)
    kinds = [("controller", "mean"), ("controller", "median")]
    for how, rule in [*kinds, *([("simulator", "mean")] if options.simulator else [])]:
        few, many = (measure(how, options.network, sites, rule) for sites in (FEW, options.sites))
        print(
            f"{how}, {options.network}, {rule}: {FEW} sites {few:.0f} MiB, "
            f"{options.sites} sites {many:.0f} MiB, ratio {many / few:.2f}",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
