"""Runs of jobs in FLARE's simulator, as `consilium simulate --compare` runs them, each once."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from consilium.data.cached_case import CachedCase
from consilium.data.files import private_folder
from consilium.federation.site.personal_model import PERSONAL_FOLDER
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import open_device
from consilium.learning.evaluator import score_cases
from consilium.learning.model_file import LAST_MODEL, load_model
from consilium.learning.weights import Weights
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job, read_exported_job
from consilium.records.federation import FederationRecord
from consilium.report.training.patients import prepare_sites
from consilium.simulation.display import Display
from consilium.simulation.hospitals import WORKSPACE, claim_simulation
from consilium.simulation.study import BASELINES, Study
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings
from drift_parts.cohorts import make_sites
from drift_parts.outcome import Outcome
from drift_parts.plan import ALGORITHMS, Effort, Run


@dataclass(frozen=True)
class Runner:
    """Carries out runs in one folder.

    Attributes:
        out: The folder.
        effort: How much each run trains.
        display: Where progress is shown.
    """

    out: Path
    effort: Effort
    display: Display

    def outcome_file(self, run: Run) -> Path:
        """Return where the outcome of a run is, once it is done."""
        return self.out / "outcomes" / f"{run.name}.json"

    def run(self, run: Run) -> Outcome:
        """Return the outcome of a run; one that is there already is not run again.

        Raises:
            ConsiliumError: If the job fails.
        """
        path = self.outcome_file(run)
        if path.exists():
            return Outcome.load(path)
        folder = self.out / "runs" / run.name
        sites = make_sites(
            run.cohort,
            self.effort.sizes[run.cohort],
            run.seed,
            self.out / "cohorts" / f"{run.cohort}-{run.seed}",
            folder / "state",
            device=self.effort.device,
            left_out=run.left_out,
            progress=lambda done, total, case: self.display.show(f"cohort: patient {done} of {total}"),
        )
        before = _cpu_seconds()
        with claim_simulation(folder, "training"):
            recipe = build_recipe(ALGORITHMS[run.algorithm].job, run.changes(self.effort))
            job = export_job(recipe, folder / "job")
            Study(job, sites, folder, compare=run.compares, display=self.display).run()
        outcome = _score(run, folder, sites, read_exported_job(job).learning, _cpu_seconds() - before)
        private_folder(path.parent)
        outcome.save(path)
        return outcome


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _score(
    run: Run, folder: Path, sites: Mapping[str, SiteSettings], learning: LearningSettings, cpu_seconds: float
) -> Outcome:
    data, record = prepare_sites(sites, learning), FederationRecord.load(folder / "result")
    scorer = _Scorer(learning, next(iter(sites.values())).device)
    final = folder / "result" / LAST_MODEL
    patients = {
        name: scorer.score(_personal(folder, name) or final, site.test) for name, site in data.items()
    }
    reports = [one.report for one in record.final_sites.values() if one.report]
    outcome = Outcome(
        patients=patients,
        rounds=[_mean_key(list(one.scores.values())) for one in record.rounds if one.scores],
        bytes_a_round=sum(one.bytes_sent + one.bytes_received for one in reports) / len(record.rounds),
        steps=sum(site.report.steps for one in record.rounds for site in one.sites.values() if site.report),
        cpu_seconds=cpu_seconds,
        seconds=sum(one.seconds for one in record.rounds),
    )
    if not run.compares:
        return outcome
    models = folder / BASELINES
    pooled = models / "pooled.safetensors"
    return outcome.model_copy(
        update={
            "local": {
                name: scorer.score(models / f"{name}.safetensors", site.test) for name, site in data.items()
            },
            "pooled": {name: scorer.score(pooled, site.test) for name, site in data.items()},
            "pooled_validation": fmean(
                fmean(scorer.score(pooled, site.validation).values())
                for site in data.values()
                if site.validation
            ),
        }
    )


def _personal(folder: Path, site: str) -> Path | None:
    """The model that a site has for itself after a simulated job, if the algorithm left it one."""
    found = sorted((folder / WORKSPACE / site).glob(f"*/{PERSONAL_FOLDER}/{LAST_MODEL}"))
    return found[0] if found else None


def _mean_key(scores: Sequence[Mapping[str, float]]) -> float:
    return fmean(one["dice"] for one in scores if "dice" in one)


class _Scorer:
    """Scores model files on single patients.

    Args:
        learning: The settings of the network.
        device: On which.
    """

    def __init__(self, learning: LearningSettings, device: str) -> None:
        self._learning, self._task = learning, get_task(learning.task)
        self._device = open_device(ComputeSettings(device=device, cpu_threads=1))

    def score(self, model: Path, cases: Sequence[CachedCase]) -> dict[str, float]:
        """Return the Dice of each case."""
        weights: Weights = load_model(model)[0]
        rows = score_cases(self._task, self._learning, weights, cases, self._device, final=False)
        evaluation = self._task.evaluation
        return {
            case.id: evaluation.summarize([row])[evaluation.metrics.key]
            for case, row in zip(cases, rows, strict=True)
            if row is not None
        }
