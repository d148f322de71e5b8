"""`consilium bundle`: write a trained model as a MONAI bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consilium.bundle.options import INTENDED_USE, BundleOptions
from consilium.cli.options import WhichModel
from consilium.cli.terminal import say_result

EPILOG = """
The best model of the demo:

  $ consilium bundle runs/demo/result -o brain_tumor_demo

The final one of a downloaded job, for others:

  $ consilium bundle results/JOB_ID -o runs/joint_model --which final --version 1.0.0 --license CC-BY-4.0

Anyone with MONAI can run it, and gets what `consilium predict` finds:

  $ cd brain_tumor_demo && python -m monai.bundle run --config_file configs/inference.json \\
  --dataset_dir /data/new --output_dir found

OUT is made, or an earlier bundle there is replaced. Not for clinical use.
"""


def bundle(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            help="A result folder, a downloaded job, or a .safetensors file.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="The bundle's folder; its name is the bundle's.", show_default=False
        ),
    ],
    which: WhichModel = None,
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "0.1.0",
    authors: Annotated[
        str | None,
        typer.Option(help="Authors of the model. Default: the sites of its job.", show_default=False),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license", help="License of the weights. Default: none is stated.", show_default=False
        ),
    ] = None,
    intended_use: Annotated[str, typer.Option(help="What the model is for.")] = INTENDED_USE,
) -> None:
    """Write a trained model as a MONAI bundle, with a model card. Research only, not for clinical use."""
    from consilium.simulation.display import Display

    with Display() as display:
        display.show("loading torch and MONAI")
        from consilium.bundle.writer import write_bundle
        from consilium.prediction.trained_model import TrainedModel

        trained = TrainedModel.load(result.expanduser(), which)
        display.say(f"model of {trained.task.title} read; writing it for MONAI and as TorchScript")
        options = BundleOptions(version, authors, license_, intended_use)
        folder = write_bundle(trained, out.expanduser(), options)
    say_result(folder / "docs/README.md")
