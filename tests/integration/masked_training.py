"""A POC of hospitals that average by secure aggregation, and die or stop at moments of a round."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from consilium.learning.model_file import LAST_MODEL, load_model
from consilium.learning.weights import Weights
from consilium.poc.federation import Poc
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.federation import FederationRecord
from consilium.records.job_record import load_record
from process_memory import find_pieces, piece_of
from waiting import DEADLINE_SECONDS, wait_until

from .poc_on_laptop import ROOT, RunningPoc
from .studies import ANY_NUMBER, SMALL, read_if_there

SETTINGS = {**SMALL, "min_sites": 3, "quorum.attempts": 1, "algorithm.most_sites": 8}
ROUNDING = 1e-6
"""Plain averaging in another order differs by no more than this in any weight."""


@dataclass(frozen=True)
class Fate:
    """What happens to a site, once.

    Attributes:
        round: From 0.
        moment: `before`, `while` or `after` it sends its masked update.
        signal: That its process gets: killed, or stopped.
        returns: Whether a stopped process continues when the last round is over.
    """

    round: int
    moment: str
    signal: str = "SIGKILL"
    returns: bool = True


@dataclass(frozen=True)
class MaskedTraining:
    """A job that has ended.

    Args:
        record: What the server wrote down.
        model: The final model.
        page: Its report, as HTML.
        sent: The folder in which each site keeps what it masks; see `deaths/sitecustomize.py`.
        at_server: Where the server had single sites' updates when the last round was over: `memory`, `disk`.
        models_at_server: Where it had its own model then.
    """

    record: FederationRecord
    model: Weights
    page: str
    sent: Path
    at_server: set[str]
    models_at_server: set[str]

    def trained(self, index: int) -> set[str]:
        """The sites whose updates are in a round, from 0."""
        return {site for site, one in self.record.rounds[index].sites.items() if one.outcome == "trained"}

    def answered(self, index: int, question: str) -> set[str]:
        """The sites that answered a question of the protocol in a round."""
        answers = self.record.rounds[index].questions[question]
        return {site for site, one in answers.items() if one.outcome == "answered"}

    def distance(self, index: int, sites: Collection[str]) -> float:
        """How far a round's model is from what plain averaging makes of the updates of some sites."""
        updates, cases = [], []
        for site in sites:
            with np.load(self.sent / f"{site}_{index}.npz") as file:
                cases.append(int(file["cases"]))
                updates.append({name[7:]: file[name] for name in file.files if name.startswith("update ")})
        last = index == len(self.record.rounds) - 1
        model = self.model if last else self._received(index + 1)
        return max(
            float(np.abs(model[name] - value - np.average([one[name] for one in updates], 0, cases)).max())
            for name, value in self._received(index).items()
        )

    def _received(self, index: int) -> Weights:
        with np.load(next(iter(sorted(self.sent.glob(f"*_{index}.npz"))))) as file:
            return {name[6:]: file[name] for name in file.files if name.startswith("model ")}


def train_masked(
    folder: Path,
    cases: Path,
    sites: Collection[str],
    fates: Mapping[str, Fate],
    rounds: int,
    settings: Mapping[str, Any] | None = None,
) -> MaskedTraining:
    """Run a job in a POC of its own, to its end.

    Args:
        folder: For all of it.
        cases: What every hospital has.
        sites: The hospitals, all of which train.
        fates: What happens to some of them.
        rounds: Of the job.
        settings: More of the job's.
    """
    archive, sent, home = folder / "hospitals", folder / "sent", folder / "home"
    for site in sites:
        shutil.copytree(cases, archive / site)
    for made in (sent, home):
        made.mkdir()
    (sent / "fates.json").write_text(json.dumps({site: vars(one) for site, one in fates.items()}))
    python_path = [str(Path(__file__).with_name("deaths")), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"CONSILIUM_DEATHS": str(sent), "PYTHONPATH": os.pathsep.join(python_path)}
    recipe = build_recipe("brain_tumor_fedavg_secagg", {**SETTINGS, "rounds": rounds, **(settings or {})})
    poc = RunningPoc(folder / "out", archive, export_job(recipe, folder / "jobs"), home, variables)
    try:
        project = _write_project(folder / "project.yml", sites)
        up = poc.poc("up", "--hospitals", str(archive), "--project", str(project))
        assert up.returncode == 0, up.stderr
        stopped = {
            sent / f"{site}.pid": one.returns for site, one in fates.items() if one.signal == "SIGSTOP"
        }
        page, found = _run(poc, stopped, sent, rounds - 1)
    finally:
        Poc(poc.out).end()
    result = page.parents[1]
    record = load_record(result)
    assert isinstance(record, FederationRecord)
    model = load_model(next(result.rglob(LAST_MODEL)))[0]
    return MaskedTraining(record, model, page.read_text(), sent, *found)


def _run(
    poc: RunningPoc, stopped: Mapping[Path, bool], sent: Path, last: int
) -> tuple[Path, tuple[set[str], set[str]]]:
    """Run the job, and let stopped sites that return continue when the last round is over.

    Returns:
        Its report, and where the server had updates of single sites, and the model, before that.
    """
    with poc.submit(poc.job) as submit:
        wait_until(lambda: submit.poll() is not None or _is_trained(poc, last + 1), "the last round is over")
        assert submit.poll() is None, submit.communicate()[1]
        found = _search(Poc(poc.out).kits / "server", sent)
        for file, returns in stopped.items():
            process = psutil.Process(int(file.read_text()))
            assert process.status() == psutil.STATUS_STOPPED
            if returns:
                process.send_signal(signal.SIGCONT)
        stdout, stderr = submit.communicate(timeout=DEADLINE_SECONDS)
    assert stdout, stderr
    return Path(stdout.strip()), found


def _search(kit: Path, sent: Path) -> tuple[set[str], set[str]]:
    """Return where the server has what sites masked in any round, and where it has its own model."""
    updates = []
    for file in sorted(sent.glob("*.npz")):
        with np.load(file) as arrays:
            largest = max((one for one in arrays.files if one != "cases"), key=lambda one: arrays[one].size)
            name = largest.partition(" ")[2]
            updates.append(piece_of(arrays[f"update {name}"]))
    models = [piece_of(load_model(file)[0][name]) for file in kit.glob(f"*/{LAST_MODEL}")]
    assert len({*updates}) == len(updates) > 0
    places: tuple[set[str], set[str]] = (set(), set())
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, FileNotFoundError):
            if any(str(kit) in word for word in process.cmdline()):
                for found, pieces in zip(places, (updates, models), strict=True):
                    found |= set(find_pieces(pieces, kit, process.pid))
    return places


def _is_trained(poc: RunningPoc, rounds: int) -> bool:
    """Whether the last round's sum is opened; the sum of the last model's scores waits for stopped sites."""
    for file in (Poc(poc.out).kits / "server").glob("*/federation.json"):
        text = read_if_there(file)
        done = json.loads(text)["rounds"] if text else []
        if len(done) == rounds and done[-1]["summed"] is not None:
            return True
    return False


def _write_project(file: Path, sites: Collection[str]) -> Path:
    """Write the POC's project file with these hospitals."""
    project: dict[str, Any] = yaml.safe_load((ROOT / "poc/project.yml").read_text())
    others = [one for one in project["participants"] if one["type"] != "client"]
    clients = [
        {
            "name": site,
            "type": "client",
            "org": f"{site}_hospital",
            "consilium": {"dataset": f"hospitals/{site}", "cpu_threads": 1, **ANY_NUMBER},
        }
        for site in sorted(sites)
    ]
    project["participants"] = [*others, *clients]
    file.write_text(yaml.safe_dump(project))
    return file
