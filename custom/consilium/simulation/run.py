"""A simulation of any job, from folders of cases to the record and the report."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants

from consilium.data.files import private_folder
from consilium.errors import ConfigurationError
from consilium.learning.model_store import ModelStore
from consilium.prediction.evaluated_models import place_models, require_models
from consilium.prediction.warm_start import WarmStart
from consilium.recipes.base import JobRecipe
from consilium.recipes.exported_job import (
    changed_job,
    job_kind,
    read_exported_evaluation,
    read_exported_job,
)
from consilium.recipes.job_folder import job_folder
from consilium.records.job_record import JobRecord, load_record
from consilium.report.terminal import Terminal
from consilium.simulation.display import Display
from consilium.simulation.hospitals import WORKSPACE, NamesAndLabels, claim_simulation, site_settings
from consilium.simulation.inquiry import Inquiry
from consilium.simulation.study import Study


@dataclass(frozen=True)
class SimulationResult:
    """The result of a simulated job.

    Attributes:
        record: What the server wrote down; a `FederationRecord` of a training.
        page: The report, an HTML page. The same numbers lie beside it in `report.json`.
        folder: What the server would hand out: the record and, of a training, the models
            (`model.safetensors`, `best_model.safetensors`) and metrics.
    """

    record: JobRecord
    page: Path
    folder: Path


def simulate(
    job: JobRecipe | Path | str,
    sites: Mapping[str, Path | str],
    out: Path | str,
    *,
    evaluators: Collection[str] = (),
    min_patients: int | None = None,
    names: NamesAndLabels | None = None,
    local_only: bool = False,
    compare: bool = False,
    initial: Path | str | None = None,
    display: Display | None = None,
) -> SimulationResult:
    """Run a job on folders of cases in FLARE's simulator, under the policy of real sites, and write a report.

    The folders are only read. The sites run in processes of their own; a study that was interrupted continues
    where it stopped.

    Example:
        ```python
        from consilium import build_recipe, simulate

        recipe = build_recipe("brain_tumor_fedavg", {"rounds": 3})
        result = simulate(recipe, {"north": "/data/north", "south": "/data/south"}, out="runs/first")
        print(result.page)
        ```

    Args:
        job: A recipe, the folder of an exported job, or a name of `consilium jobs list`.
        sites: Site name to the folder with its cases; two or more.
        out: Folder for everything: `report/`, `result/`, `cache/`, and each site's log below `simulation/`.
        evaluators: Names of sites that only evaluate.
        min_patients: Fewest patients behind whatever a site sends; default: as at a hospital, 3 in training
            and 5 for counts.
        names: What the sites state about their files and labels; default: it is found from the files.
        local_only: Ask for the job's `local_only`: every site trains a model alone as well.
        compare: Train every hospital alone and all data pooled as well.
        initial: A model to start from: a result folder, a downloaded job, a bundle, a model file, or
            published weights that the task knows; default: as the job has it.
        display: Where progress is shown; default: nowhere.

    Raises:
        ConfigurationError: If the job or the sites can't be used; nothing was started then.
        SimulationError: If the job fails. Its message names the report, which is written as far as the server
            has a record.
    """
    out, folders = Path(out), {name: Path(folder) for name, folder in sites.items()}
    display = display or Display(Terminal(quiet=True, force_terminal=False))
    with job_folder(job) as path, ExitStack() as held:
        kind = job_kind(path)
        if kind != "training" and (compare or local_only or initial):
            option = "--compare" if compare else "--local-only" if local_only else "--from"
            raise ConfigurationError(f"{path.name} trains nothing: leave {option} out")
        if kind == "statistics" and evaluators:
            raise ConfigurationError(
                f"{path.name} counts all patients and trains nothing: leave --evaluates out"
            )
        if kind == "evaluation":
            require_models(read_exported_evaluation(path).models)
        lacking = sorted(names.missing_targets) if names else []
        if compare and lacking:
            raise ConfigurationError(
                f"the labels of {', '.join(lacking)} lack targets, and the models to compare with are "
                "trained and scored by all of them: leave --compare or these sites out"
            )
        hospitals = site_settings(folders, out.resolve(), frozenset(evaluators), min_patients, names)
        held.enter_context(claim_simulation(out, kind))
        if kind == "training":
            changes: dict[str, Any] = {"local_only": True} if local_only else {}
            with (
                _initial_model(initial, path) as (models, start),
                changed_job(path, {**changes, **start}) as shaped,
            ):
                page = Study(shaped, hospitals, out, compare=compare, display=display, models=models).run()
            return SimulationResult(load_record(out / "result"), page, out / "result")
        if kind == "evaluation":
            evaluation = read_exported_evaluation(path)
            local = private_folder(out.resolve() / WORKSPACE) / WorkspaceConstants.SITE_FOLDER_NAME
            kit = ModelStore.of_server(private_folder(local))
            place_models(evaluation.models, ModelStore.beside(path), kit)
        answers = Inquiry(path, hospitals, out, display=display).run()
        return SimulationResult(answers.record, answers.page, out / "result")


@contextmanager
def _initial_model(place: Path | str | None, job: Path) -> Iterator[tuple[ModelStore, dict[str, Any]]]:
    """The store of the model that a job starts from, and what the job says of it."""
    if place is None:
        yield ModelStore.beside(job), {}
        return
    start = WarmStart.open(Path(place).expanduser(), read_exported_job(job).learning)
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder), folder)
        store.add(start.content)
        yield store, {"initial": start.initial.model_dump(mode="json")}
