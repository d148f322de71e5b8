"""`consilium privacy`: write the data-protection officer's page of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consilium.cli.options import TRAINING_PATIENTS
from consilium.cli.terminal import loading, say_result
from consilium.default_task import training_job

EPILOG = f"""
Before a hospital agrees to a job that the lead announces, with the hospital's own settings:

  $ consilium privacy runs/jobs/{training_job()} \\
  --kit /opt/consilium/north --out privacy

After the job, from its downloaded result:

  $ consilium privacy results/JOB_ID --kit /opt/consilium/north --out privacy

Exit code: 0 the page is written, 2 there is no such job or KIT is not a hospital's startup kit.
"""


def privacy(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="A job folder, a name of `consilium jobs list`, or a job's downloaded result.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the page goes.", show_default=False)],
    kit: Annotated[
        Path | None,
        typer.Option(
            metavar="KIT",
            help="A hospital's startup kit: its own minimums, role and other settings count. Default: those "
            "that a hospital has unless it sets others.",
            show_default=False,
        ),
    ] = None,
    patients: Annotated[
        int | None,
        typer.Option(
            "--training-patients",
            min=1,
            max=1_000_000,
            help=TRAINING_PATIENTS,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write what a job takes from a hospital, who sees it and what protects it: HTML, PDF and JSON.

    It is made from the job's settings, or from its record, and the hospital's own settings; both are only
    read. It is for the data-protection officer, and no legal advice.
    """
    with loading("the job and matplotlib"):
        from consilium.data.output_claim import claim_folder
        from consilium.provisioning.kit import Kit
        from consilium.report.privacy.write import write_privacy
        from consilium.site_check.privacy_page import describe_privacy

        opened = None if kit is None else Kit(kit.expanduser())
        statement = describe_privacy(job, opened, patients=patients)
        with claim_folder(out, "--out", "a job's privacy page", ("privacy.html", "privacy.json")):
            page = write_privacy(out, statement)
    say_result(page)
