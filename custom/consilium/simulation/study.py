"""A study on this machine: a job in the simulator, its baselines and the report."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nvflare.apis.fl_constant import WorkspaceConstants

from consilium.counts import counted
from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.learning.model_file import BEST_MODEL, LAST_MODEL
from consilium.learning.model_store import ModelStore
from consilium.learning.standalone import save_standalone
from consilium.learning.weights import Weights
from consilium.participant.site_data import SiteData
from consilium.participant.site_settings import SiteSettings
from consilium.participant.standalone_plan import StandalonePlan
from consilium.process_limits import available_cores
from consilium.recipes.exported_job import read_exported_job
from consilium.records.federation import FEDERATION_FILE, BaselineRecord, FederationRecord
from consilium.records.job_record import load_record
from consilium.records.reading import read_record
from consilium.report.site_combiner import SiteCombiner
from consilium.report.training.build import build_report
from consilium.report.training.patients import draw_patients, prepare_sites
from consilium.report.write import write_report
from consilium.simulation.baselines import train_baselines
from consilium.simulation.display import Display
from consilium.simulation.eligibility import require_enough_sites
from consilium.simulation.environment import SimulationError, with_split_salts
from consilium.simulation.hospitals import WORKSPACE
from consilium.simulation.process import SimulatedJob
from consilium.simulation.stages import Stages

BASELINES: Final = "baselines"
"""Folder of a study with the models that the federation is compared with, one for each hospital that trains
and `pooled`; it is no part of what a server would hand out."""

_RESULTS = (FEDERATION_FILE, LAST_MODEL, BEST_MODEL, "metrics", "tb_events")


class Study:
    """Simulates a job on folders of cases and writes a report; an interrupted study resumes.

    Everything goes below one folder: `simulation/` (FLARE's workspace, with every site's log), `cache/`
    (preprocessed cases), `result/` (what the server would hand out), `report/`, `baselines/` (the models of a
    comparison).

    Args:
        job: An exported job folder.
        sites: Site name to what the hospital decides, see `site_settings`.
        out: Where everything goes.
        compare: Whether to train what the federation is compared with.
        display: Where progress is shown.
        models: Where the model is that the job starts from, if it starts from one; default: beside the job.

    Raises:
        ConfigurationError: If the job can't be used; nothing was started then.
    """

    def __init__(
        self,
        job: Path,
        sites: Mapping[str, SiteSettings],
        out: Path,
        *,
        compare: bool,
        display: Display,
        models: ModelStore | None = None,
    ) -> None:
        self._job = read_exported_job(job)
        self._models = models or ModelStore.beside(job)
        self._out = out.resolve()
        self._sites = with_split_salts(sites, self._job.learning.seed)
        self._compare = compare
        self._display = display

    def run(self, seconds_before: Mapping[str, float] | None = None) -> Path:
        """Run the study; returns the report's page.

        Args:
            seconds_before: Time that was spent on making the study's input, by name, for the report.

        Raises:
            SimulationError: If the federation fails. Its message names the report, which is written as far as
                the server has a record.
            ConsiliumError: If something else can't be done.
        """
        started = time.monotonic()
        stages = Stages.open(self._out / "stages.json", key=self._key())
        try:
            federation = self._federate(stages)
        except SimulationError as error:
            raise with_report(error, self._out / "result", self._out / "report") from None
        data = prepare_sites(self._sites, self._job.learning)
        baselines = self._train_baselines(stages, data, federation) if self._compare else None
        self._display.show("drawing one patient of every hospital")
        patients = draw_patients(
            data, self._job.learning, self._out / "result" / LAST_MODEL, self._out / "report"
        )
        seconds = {"federated": stages.seconds["federated"], **(seconds_before or {})}
        seconds["total"] = time.monotonic() - started + sum((seconds_before or {}).values())
        page = build_report(
            self._out / "report", federation, baselines=baselines, seconds=seconds, patients=patients
        )
        stages.forget()
        return page

    def _federate(self, stages: Stages) -> FederationRecord:
        result = self._out / "result"
        if stages.is_done("federated"):
            self._display.say("the federation of the interrupted run is complete: not done again")
            return FederationRecord.load(result)
        for note in require_enough_sites(self._sites, self._job, self._display.show, keep=True):
            self._display.say(f"  {note}")
        self._display.say(
            f"federation: {counted(self._job.rounds, 'round')} at {', '.join(self._sites)} in FLARE's "
            "simulator"
        )
        started = time.monotonic()
        self._place_initial_model()
        with SimulatedJob(self._job.path, self._sites, self._out / WORKSPACE) as simulation:
            try:
                simulation.watch(self._display.show)
            except SimulationError:
                _keep_results(simulation.folder, result)
                raise
            _keep_results(simulation.folder, result)
        federation = FederationRecord.load(result)
        stages.finish("federated", time.monotonic() - started)
        self._display.say(f"federation: {federation.status}{_key_score(federation.final_scores, federation)}")
        for site, answer in federation.final_sites.items():
            if answer.outcome not in ("evaluated", "trained"):
                self._display.say(f"  {site} is NOT part of the result: {answer.reason or answer.outcome}")
        return federation

    def _place_initial_model(self) -> None:
        """Put the model that the job starts from where the simulated server looks for it."""
        if self._job.initial is not None:
            local = private_folder(self._out / WORKSPACE) / WorkspaceConstants.SITE_FOLDER_NAME
            self._job.initial.place(self._models, ModelStore.of_server(private_folder(local)))

    def _initial_weights(self) -> Weights | None:
        """The weights of that model; None for a job that starts from drawn ones."""
        from consilium.prediction.trained_model import network_weights

        initial, learning = self._job.initial, self._job.learning
        return None if initial is None else initial.load(self._models, network_weights(learning))

    def _train_baselines(
        self, stages: Stages, data: Mapping[str, SiteData], federation: FederationRecord
    ) -> BaselineRecord:
        path = self._out / "result" / "baselines.json"
        if stages.is_done("baselines"):
            return read_record(BaselineRecord, path)
        self._display.say("to compare with: every hospital alone, and all data pooled")
        started, steps = time.monotonic(), {}
        devices = {site.device for site in self._sites.values()}

        def on_step(name: str, done: int, total: int) -> None:
            steps[name] = f"{name} {done}/{total}"
            self._display.show("steps: " + ", ".join(steps.values()))

        baselines = train_baselines(
            data,
            self._job.learning,
            self._job.rounds,
            final_model=self._out / "result" / LAST_MODEL,
            min_counts={name: site.min_count for name, site in self._sites.items()},
            workers=min(available_cores(), 4),
            start=self._initial_weights(),
            device=devices.pop() if len(devices) == 1 else "auto",
            on_step=on_step,
            on_model=self._keep_baseline,
        )
        write_atomically(path, baselines.model_dump_json(indent=1).encode())
        stages.finish("baselines", time.monotonic() - started)
        self._display.say(compare_models(baselines, federation))
        return baselines

    def _keep_baseline(self, name: str, plan: StandalonePlan, weights: Weights) -> None:
        initial = self._job.initial
        path = private_folder(self._out / BASELINES) / f"{name}.safetensors"
        job, origin = self._job.path.resolve().name, initial.origin if initial else ()
        save_standalone(
            path, weights, plan.learning, plan.trained, rounds=plan.rounds, job=job, origin=origin
        )

    def _key(self) -> str:
        """Return a hash of what the results depend on: another job or other sites start a new study."""
        digest = hashlib.sha256(json.dumps(self._compare).encode())
        for path in sorted(file for file in self._job.path.rglob("*") if file.is_file()):
            digest.update(path.read_bytes())
        for name, site in self._sites.items():
            digest.update(f"{name} {site.model_dump_json()}".encode())
        return digest.hexdigest()


def with_report(error: SimulationError, result: Path, folder: Path) -> SimulationError:
    """Write the report of a job that failed, and return the error with its place.

    Args:
        error: Why it failed.
        result: With the record of the job; without one, or without room for it, there is no report, and the
            error is as it was.
        folder: Where the report goes.
    """
    try:
        page = write_report(folder, load_record(result))
    except (ConfigurationError, OSError):
        return error
    return SimulationError(f"{error}\n  each site's reason, and what to do about it: {page}")


def compare_models(baselines: BaselineRecord, federation: FederationRecord) -> str:
    """Return all models' scores as a line, over the same hospitals: those with a model of their own.

    Args:
        baselines: Scores of the hospitals' own models and of the pooled one.
        federation: Scores of the federation's model.
    """
    own = {site: scores[site] for site, scores in baselines.local.items() if site in scores}

    def score(scores: Mapping[str, Mapping[str, float]]) -> str:
        return _key_score({site: scores[site] for site in own if site in scores}, federation)

    return (
        f"on the test cases of {', '.join(own)}: own models{score(own)}; "
        f"the federation's model{score(federation.final_scores)}; pooled{score(baselines.pooled)}"
    )


def _key_score(scores: Mapping[str, Mapping[str, float]], federation: FederationRecord) -> str:
    metrics = federation.metrics
    together = SiteCombiner(federation.task, metrics).combine(scores.values()) or {}
    value = together.get(metrics.key)
    return "" if value is None else f", {metrics.key_name} {metrics.key_metric.text(value)}"


def _keep_results(source: Path, result: Path) -> None:
    shutil.rmtree(result, ignore_errors=True)
    private_folder(result)
    for name in _RESULTS:
        _copy(source / name, result / name)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy2(source, target)
