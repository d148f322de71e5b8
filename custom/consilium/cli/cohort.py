"""`consilium cohort`: write synthetic hospitals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consilium.cli.terminal import loading, say, say_result
from consilium.errors import ConfigurationError

if TYPE_CHECKING:
    from consilium.tasks.brain_tumor.synthetic import CohortSpec

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
    spacing: Annotated[float, typer.Option(help="Edge of a voxel in mm, 0.5 to 4.")] = 2.0,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="XxYxZ",
            help="Voxels. Without it, what a head needs: 96x112x88 at 2 mm, 240x240x155 at 1 mm.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed makes other patients.")] = 0,
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
    """Make synthetic hospitals: real anatomy, simulated gliomas, a different scanner in each.

    Every patient has T1, T1 with contrast agent, T2, FLAIR and the true segmentation.

    Nothing in them is from a patient: a model trained on them is for trying things out, never for use.
    """
    with loading("nibabel and the anatomy"):
        from consilium.data.files import output_folder
        from consilium.tasks.brain_tumor.synthetic import make_cohort
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from consilium.report.terminal import Terminal

    spec = _specification(hospital, spacing, size, seed, tumor_mix, missing_et)
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
        task = bar.add_task("loading the anatomy", total=sum(one.cases for one in spec.hospitals))

        def report(done: int, total: int, case: str) -> None:
            bar.update(task, completed=done, total=total, description=case)
            if not console.is_terminal:
                say(f"{done}/{total} {case}", err=True)

        made = make_cohort(spec, folder, workers=workers, progress=report)
    for name, path in made.hospitals.items():
        say_result(f"{name}\t{path}")
    if not made.written:
        say("Complete already; nothing to do.", err=True)


def _specification(
    hospitals: list[str] | None,
    spacing: float,
    size: str | None,
    seed: int,
    tumor_mix: str | None,
    missing_et: float | None,
) -> CohortSpec:
    """Turn the options into a specification."""
    from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, CohortSpec

    demo = [hospital.model_dump(mode="json") for hospital in DEMO_COHORT.hospitals]
    chosen = demo
    if hospitals:
        scanners = [hospital["scanner"] for hospital in demo]
        chosen = [
            {**_hospital(text), "scanner": scanners[index % len(scanners)]}
            for index, text in enumerate(hospitals)
        ]
    for one in chosen:
        if tumor_mix is not None:
            one["tumor_mix"] = _tumor_mix(tumor_mix)
        if missing_et is not None:
            one["missing_et"] = missing_et
    grid = {"shape": _size(size) if size else _size_for(spacing), "spacing_mm": spacing}
    return CohortSpec.parse(
        {"hospitals": chosen, "grid": grid, "seed": seed},
        source="these options (see consilium cohort --help)",
    )


def _hospital(text: str) -> dict[str, Any]:
    """Read `NAME=LAYOUT:CASES`."""
    name, equals, rest = text.partition("=")
    layout, colon, cases = rest.partition(":")
    if not (equals and colon and cases.isdecimal()):
        raise ConfigurationError(
            f"--hospital {text!r} is not NAME=LAYOUT:CASES. Write for example: --hospital north=brats2021:6"
        )
    return {"name": name, "layout": layout, "cases": int(cases)}


def _tumor_mix(text: str) -> dict[str, float]:
    """Read `small=1,medium=2,large=1`; a size that is not named does not occur."""
    mix = {"small": 0.0, "medium": 0.0, "large": 0.0}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            if name not in mix:
                raise ValueError(name)
            mix[name] = float(weight)
        except ValueError:
            raise ConfigurationError(
                f"--tumor-mix {text!r}: {part!r} is not SIZE=WEIGHT, with size small, medium or large. "
                "Write for example: --tumor-mix small=1,medium=2,large=1"
            ) from None
    return mix


def _size(text: str) -> tuple[int, ...]:
    """Read `XxYxZ`."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise ConfigurationError(
            f"--size {text!r} is not XxYxZ in voxels. Write for example: --size 96x112x88"
        )
    return tuple(int(part) for part in parts)


def _size_for(spacing: float) -> tuple[int, ...]:
    """The usual grid at a spacing: that of BraTS at 1 mm, else what a head needs, in multiples of 8."""
    if spacing == 1:
        return (240, 240, 155)
    return tuple(8 * round(extent / max(spacing, 0.5) / 8 + 0.49) for extent in (192, 224, 176))
