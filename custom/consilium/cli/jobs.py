"""`consilium jobs`: list and export jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consilium.cli.options import Changes, StartFrom
from consilium.cli.terminal import loading, say, say_result
from consilium.counts import counted
from consilium.default_task import training_job

if TYPE_CHECKING:
    from consilium.recipes.base import JobRecipe

app = typer.Typer(no_args_is_help=True, help="List and write the jobs that Consilium knows.")

_EXPORT_EPILOG = f"""
Every job, as in this repository:

  $ consilium jobs export --to jobs

One job with other settings; an unknown setting is an error that names the nearest known one:

  $ consilium jobs export {training_job()} --to runs/jobs \\
  --set rounds=20 --set learning.seed=1

One job for what the hospitals' data and machines are like:

  $ consilium jobs export {training_job()} --to runs/jobs \\
  --fingerprint runs/stats/result/statistics.json
"""


@app.command("list")
def list_jobs() -> None:
    """List the jobs, with what each does."""
    with loading("the jobs"):
        from consilium.recipes.catalog import build_recipe

    for name in _all_jobs():
        say_result(f"{name}\t{build_recipe(name).summary}")


@app.command("export", epilog=_EXPORT_EPILOG)
def export_jobs(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A job; default: all.", show_default=False)
    ] = None,
    to: Annotated[Path, typer.Option(help="Folder in which the job's folder is written.")] = Path("jobs"),
    fingerprint: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="statistics.json or readiness.json: take the settings that suit these hospitals' data and "
            "machines; --set wins. Give it twice for both.",
            show_default=False,
        ),
    ] = None,
    start_from: StartFrom = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL",
            help="A model to evaluate: a result folder, a downloaded job, a bundle or a .safetensors file; "
            "@best or @final after a folder selects one. Repeat it for more.",
            show_default=False,
        ),
    ] = None,
    change: Changes = None,
) -> None:
    """Write a job's folder: configuration only, ready for the FLARE console or `consilium simulate`."""
    from consilium.errors import ConfigurationError

    with loading("the jobs"):
        from consilium.data.files import output_folder
        from consilium.recipes.catalog import build_recipe
        from consilium.recipes.exported_job import export_job
        from consilium.settings import parse_changes

    if name is None and (change or fingerprint or start_from or model):
        raise ConfigurationError(
            "--set, --fingerprint, --from and --model change one job: name it, for example "
            f"`consilium jobs export {training_job()}`"
        )
    changes = parse_changes(change or [])
    if name and fingerprint:
        changes = _propose(name, fingerprint, changes)
    if name and start_from:
        changes = {**changes, **_start(name, start_from, changes, to)}
    if name and model:
        changes = {**changes, **_write_models(name, model, changes, to)}
    recipes = [build_recipe(one, changes) for one in ([name] if name else _all_jobs())]
    output_folder(to, "--to")
    for recipe in recipes:
        say_result(export_job(recipe, to))
    if name is not None:
        _say_costs(recipes[0])


def _say_costs(recipe: JobRecipe) -> None:
    """Print what a round costs in a job by secure aggregation, beside other ways to average."""
    from consilium.recipes.round_cost import MEASURED_ON, masked_settings, round_costs

    settings = masked_settings(recipe)
    if settings is None:
        return
    with loading("torch and MONAI"):
        from consilium.learning.estimate import count_parameters

    parameters = count_parameters(settings.learning)
    say(
        f"a round of {counted(settings.min_sites, 'hospital')} and {parameters:,} parameters, without "
        f"training and the network's time (processor time as measured on {MEASURED_ON}):",
        err=True,
    )
    for cost in round_costs(parameters, settings.min_sites, settings.algorithm.ring_bits):
        say(f"  {cost}", err=True)


def _all_jobs() -> list[str]:
    """The names of the jobs of all tasks; unusable tasks are left out, with a note."""
    from consilium.errors import ConfigurationError
    from consilium.recipes.catalog import task_jobs
    from consilium.tasks import get_task, task_names

    names: list[str] = []
    for task in task_names():
        try:
            names += task_jobs(get_task(task))
        except ConfigurationError as error:
            say(f"left out: {error}", err=True)
    return names


def _start(name: str, place: Path, changes: dict[str, Any], to: Path) -> dict[str, Any]:
    """Write the model that a job starts from beside it; returns what the job says of it."""
    from consilium.data.files import output_folder
    from consilium.errors import ConfigurationError
    from consilium.learning.model_store import ModelStore

    with loading("torch and MONAI"):
        from consilium.prediction.warm_start import WarmStart
    from consilium.recipes.catalog import build_recipe
    from consilium.recipes.training import TrainingRecipe

    recipe = build_recipe(name, changes)
    if not isinstance(recipe, TrainingRecipe):
        raise ConfigurationError(f"{name} trains nothing: leave --from out")
    start = WarmStart.open(place.expanduser(), recipe.settings.learning)
    output_folder(to, "--to")
    file = ModelStore.beside(to / name).add(start.content)
    for one in start.initial.origin:
        say(f"starts from {one.name}" + (f" ({one.license})" if one.license else ""), err=True)
    _say_where_to_put(file)
    return {"initial": start.initial.model_dump(mode="json")}


def _write_models(name: str, models: list[str], changes: dict[str, Any], to: Path) -> dict[str, Any]:
    """Write the models that a job evaluates beside it; returns what the job says of them."""
    from consilium.data.files import output_folder
    from consilium.errors import ConfigurationError
    from consilium.learning.model_store import ModelStore

    with loading("torch and MONAI"):
        from consilium.prediction.evaluated_models import EvaluatedModels
    from consilium.recipes.catalog import build_recipe
    from consilium.recipes.evaluation import EvaluationRecipe

    recipe = build_recipe(name, changes)
    if not isinstance(recipe, EvaluationRecipe):
        raise ConfigurationError(f"{name} evaluates no models: leave --model out")
    opened = EvaluatedModels.open(models, recipe.settings.learning.task)
    output_folder(to, "--to")
    for file in dict.fromkeys(opened.write(ModelStore.beside(to / name))):
        _say_where_to_put(file)
    for names in opened.same():
        say(f"{' and '.join(names)} are the same model: leave out all but one", err=True)
    return {
        "models": [one.model_dump(mode="json") for one in opened.models],
        "learning": opened.learning.model_dump(mode="json"),
    }


def _say_where_to_put(file: Path) -> None:
    from consilium.learning.model_store import MODELS_FOLDER

    say(
        f"before you submit the job, put {file} into local/{MODELS_FOLDER}/ of the server's kit; "
        "`consilium simulate` finds it",
        err=True,
    )


def _propose(name: str, files: list[Path], changes: dict[str, Any]) -> dict[str, Any]:
    """Print proposed settings with their reasons; explicit settings take precedence."""
    from consilium.recipes.catalog import build_recipe
    from consilium.recipes.proposal import as_changes, propose, read_fingerprint

    choices = propose(read_fingerprint(files), build_recipe(name, changes).settings)
    for choice in choices:
        won = f" (not taken: --set {choice.setting} wins)" if choice.setting in changes else ""
        say(f"{choice}{won}", err=True)
    return {**as_changes(choices), **changes}
