"""`consilium cohort`: write synthetic hospitals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consilium.cli.options import Changes, SyntheticTask
from consilium.cli.terminal import loading, say, say_result
from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError

EPILOG = """
The hospitals of the demo:

  $ consilium cohort data/demo

What can be changed about them, and one change:

  $ consilium cohort --options

  $ consilium cohort data/other --set seed=3

Those of another task:

  $ consilium cohort --task NAME --options

  $ consilium cohort data/other --task NAME

Repeat a command that was interrupted: it makes only what is missing.
"""


def cohort(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="Where to put the hospitals, one subfolder each.", show_default=False
        ),
    ] = None,
    task: SyntheticTask = DEFAULT,
    change: Changes = None,
    show_options: Annotated[
        bool, typer.Option("--options", help="List what --set takes for this task, and make nothing.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes, at most one for each core.")] = 1,
) -> None:
    """Make synthetic hospitals of a task to experiment with.

    What they are like is the task's: `--options` lists what can be changed.

    Nothing in them is from a patient: a model trained on them is for trying things out, never for use.
    """
    with loading("the task"):
        from consilium.data.output_claim import claim_folder
        from consilium.settings import parse_changes
        from consilium.tasks.registry import synthetic_cohort
        from consilium.tasks.synthetic import specify_cohort

        wanted = synthetic_cohort(task)
    if show_options:
        for name, meaning in wanted.options.items():
            say_result(f"{name}\t{meaning}")
        if not wanted.options:
            say(f"The hospitals of {task} have no options.", err=True)
        return
    if folder is None:
        raise ConfigurationError("name the folder for the hospitals: consilium cohort DIR")
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from consilium.report.terminal import Terminal

    wanted = specify_cohort(wanted, parse_changes(change or []))
    console = Terminal(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with claim_folder(folder, "DIR", "synthetic hospitals", wanted.hospitals), bar:
        shown = bar.add_task("loading", total=wanted.cases)

        def report(done: int, total: int, case: str) -> None:
            bar.update(shown, completed=done, total=total, description=case)
            if not console.is_terminal:
                say(f"{done}/{total} {case}", err=True)

        made = wanted.make(folder, workers=workers, progress=report)
    for name, path in made.hospitals.items():
        say_result(f"{name}\t{path}")
    if not made.written:
        say("Complete already; nothing to do.", err=True)
