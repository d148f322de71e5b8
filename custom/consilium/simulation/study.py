"""A study on this machine: a job in the simulator, its baselines and the report."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.learning.cores import available_cores
from consilium.learning.model_file import BEST_MODEL, LAST_MODEL
from consilium.participant.site_data import SiteData
from consilium.participant.site_settings import SiteSettings, list_installed
from consilium.recipes.exported_job import ExportedJob, read_exported_job
from consilium.records.federation import FEDERATION_FILE, BaselineRecord, FederationRecord
from consilium.records.job_record import load_record
from consilium.report.site_combiner import SiteCombiner
from consilium.report.training.build import build_report
from consilium.report.training.patients import draw_patients, prepare_sites
from consilium.report.write import write_report
from consilium.simulation.baselines import train_baselines
from consilium.simulation.display import Display
from consilium.simulation.eligibility import require_enough_sites
from consilium.simulation.environment import SimulationError, with_split_salts
from consilium.simulation.folders import check_folders
from consilium.simulation.process import SimulatedJob
from consilium.simulation.stages import Stages

WORKSPACE: Final = "simulation"
"""Folder of a study in which FLARE's simulator works."""

_MINIMUMS = ("min_count", "min_training_patients")
_RESULTS = (FEDERATION_FILE, LAST_MODEL, BEST_MODEL, "metrics", "tb_events")


@dataclass(frozen=True)
class NamesAndLabels:
    """What simulated hospitals say of their files, as real ones do in their settings.

    Args:
        conventions: Site name to what its label values mean; the others' are found from names and values.
        file_endings: Endings of file names to read at all of them beside the known ones.
        patients_files: Site name to the file that declares its patients.
        accepted_files: Site name to the file of findings that it accepts.
    """

    conventions: Mapping[str, str] = field(default_factory=dict)
    file_endings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients_files: Mapping[str, Path] = field(default_factory=dict)
    accepted_files: Mapping[str, Path] = field(default_factory=dict)


class Study:
    """Simulates a job on folders of cases and writes a report; an interrupted study resumes.

    Everything goes below one folder: `simulation/` (FLARE's workspace, with every site's log), `cache/`
    (preprocessed cases), `result/` (what the server would hand out), `report/`.

    Args:
        job: An exported job folder.
        sites: Site name to the folder with its cases.
        out: Where everything goes.
        evaluators: Sites that only evaluate.
        min_patients: See `site_settings`.
        names: See `site_settings`.
        compare: Whether to train what the federation is compared with.
        display: Where progress is shown.

    Raises:
        ConfigurationError: If the job or the sites can't be used; nothing was started then.
    """

    def __init__(
        self,
        job: Path,
        sites: Mapping[str, Path],
        out: Path,
        *,
        evaluators: frozenset[str] = frozenset(),
        min_patients: int | None = None,
        names: NamesAndLabels | None = None,
        compare: bool,
        display: Display,
    ) -> None:
        self._job = read_exported_job(job)
        self._out = out.resolve()
        self._sites = with_split_salts(
            site_settings(sites, self._out, evaluators, min_patients, names), self._job.learning.seed
        )
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

    def _train_baselines(
        self, stages: Stages, data: Mapping[str, SiteData], federation: FederationRecord
    ) -> BaselineRecord:
        path = self._out / "result" / "baselines.json"
        if stages.is_done("baselines"):
            return BaselineRecord.model_validate_json(path.read_text())
        self._display.say("to compare with: every hospital alone, and all data pooled")
        started, steps = time.monotonic(), {}

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
            on_step=on_step,
        )
        write_atomically(path, baselines.model_dump_json(indent=1).encode())
        stages.finish("baselines", time.monotonic() - started)
        own = {site: scores[site] for site, scores in baselines.local.items() if site in scores}
        self._display.say(
            f"alone{_key_score(own, federation)} on their own patients; "
            f"pooled{_key_score(baselines.pooled, federation)}"
        )
        return baselines

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


def describe_job(job: ExportedJob) -> str:
    """Return one line about a job."""
    learning = job.learning
    return f"{job.path.name}: {learning.summary}, {counted(job.rounds, 'round')}"


def site_settings(
    sites: Mapping[str, Path],
    out: Path,
    evaluators: frozenset[str],
    min_patients: int | None = None,
    names: NamesAndLabels | None = None,
) -> dict[str, SiteSettings]:
    """Return what each simulated hospital decides.

    Args:
        sites: Site name to the folder with its cases.
        out: The study's folder.
        evaluators: Sites that only evaluate.
        min_patients: Fewest patients behind whatever a site sends; default: as at a hospital.
        names: What the hospitals say of their files and labels; default: nothing.

    Raises:
        ConfigurationError: If there are too few sites, a name or a folder can't be used, or an evaluator is
            none of them.
    """
    if len(sites) < 2:
        raise ConfigurationError(
            f"a federation needs two sites or more, and {len(sites)} is given: --site NAME=FOLDER"
        )
    if evaluators - sites.keys():
        raise ConfigurationError(
            f"no site is named {', '.join(sorted(evaluators - sites.keys()))}; named: {', '.join(sites)}"
        )
    check_folders(sites, out)
    threads = max(1, available_cores() // len(sites))
    minimums = {} if min_patients is None else dict.fromkeys(_MINIMUMS, min_patients)
    said = names or NamesAndLabels()
    return {
        name: SiteSettings(
            dataset=folder.absolute(),
            cache_dir=out / "cache" / name,
            # Removed with the workspace: the next simulation remembers nothing of this one.
            state_dir=out / WORKSPACE / name / "site_state",
            cpu_threads=threads,
            processes=1,  # the sites train side by side
            role="evaluates" if name in evaluators else "trains",
            label_convention=said.conventions.get(name),
            file_endings=dict(said.file_endings),
            patients_file=_absolute(said.patients_files.get(name)),
            accepted_findings=_absolute(said.accepted_files.get(name)),
            tasks=list_installed(),
            **minimums,
        )
        for name, folder in sites.items()
    }


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


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
