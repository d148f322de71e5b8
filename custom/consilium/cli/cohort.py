"""`consilium cohort`: write synthetic hospitals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consilium.cli.options import SyntheticTask
from consilium.cli.terminal import loading, say, say_result
from consilium.default_task import DEFAULT

EPILOG = """
Four hospitals of 14, 12, 12 and 4 patients at 2 mm, in four layouts, from four scanners:

  $ consilium cohort data/demo

Two hospitals of your own:

  $ consilium cohort data/tiny --hospital north=brats2021:3 --hospital south=decathlon:3

The size of real BraTS images, 240x240x155 at 1 mm:

  $ consilium cohort data/full --spacing 1

Repeat a command that was interrupted: it makes only what is missing.
"""


def cohort(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Where to put the hospitals, one subfolder each.", show_default=False
        ),
    ],
    hospital: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LAYOUT:CASES",
            help="A hospital; its layout is brats2020, brats2021, brats2023 or decathlon. "
            "Repeat it for more; without it, the four of the demo. Scanners are dealt out in turn.",
            show_default=False,
        ),
    ] = None,
    task: SyntheticTask = DEFAULT,
    spacing: Annotated[
        float | None,
        typer.Option(help="Edge of a voxel in mm, 0.5 to 4. Without it, 2.", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="XxYxZ",
            help="Voxels. Without it, what a head needs: 96x112x88 at 2 mm, 240x240x155 at 1 mm.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Another seed makes other patients.", show_default=False)
    ] = None,
    tumor_mix: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE=WEIGHT,...",
            help="Weights of small (20-45 ml), medium (45-90 ml) and large (90-150 ml) tumors, "
            "such as small=2,medium=1,large=0.",
            show_default=False,
        ),
    ] = None,
    missing_et: Annotated[
        float | None,
        typer.Option(
            help="Share of patients without enhancing tumor, 0 to 1. Without it, 0.1.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes, at most one for each core.")] = 1,
) -> None:
    """Make synthetic hospitals of a task, to try everything on.

    Those of brain_tumor have real anatomy, simulated gliomas and a different scanner in each. The options
    but DIR, --task and --workers are theirs; another task may take some of them, or none.

    Nothing in them is from a patient: a model trained on them is for trying things out, never for use.
    """
    with loading("nibabel and the anatomy"):
        from consilium.data.files import output_folder
        from consilium.tasks.registry import synthetic_cohort
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from consilium.report.terminal import Terminal

    options = {
        "hospital": hospital,
        "spacing": spacing,
        "size": size,
        "seed": seed,
        "tumor-mix": tumor_mix,
        "missing-et": missing_et,
    }
    given = {name: value for name, value in options.items() if value not in (None, [])}
    wanted = synthetic_cohort(task)
    wanted = wanted.specify(given) if given else wanted
    output_folder(folder, "DIR")
    console = Terminal(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
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
