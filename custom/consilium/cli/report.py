"""`consilium report`: the report of a downloaded result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from consilium.report.outcome import Outcome

NOT_COMPLETE = 1

EPILOG = """
After a download, with the command line or in the console:

  $ nvflare job download JOB_ID -o results

  $ consilium report results/JOB_ID --out runs/report

Exit code: 0 all sites took part to the end, 1 the job is partial or failed, 2 there is no result to report.
"""


def report(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT_DIR", help="A job's downloaded result.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Where the report goes.", show_default=False)],
) -> None:
    """Write the report of a job's downloaded result; its folder is only read.

    It has no pictures of patients, as these are at the hospitals.
    """
    from consilium.report.build import build_report
    from consilium.report.download import load_result
    from consilium.report.outcome import judge_outcome

    federation = load_result(result)
    outcome = judge_outcome(federation)
    page = build_report(out, federation, baselines=None, seconds={}, patients={})
    print_outcome(outcome)
    typer.echo(page)
    raise typer.Exit(0 if outcome.kind == "success" else NOT_COMPLETE)


def print_outcome(outcome: Outcome) -> None:
    """Tell a person on standard error how a job ended."""
    color = {"success": typer.colors.GREEN, "partial": typer.colors.YELLOW, "failure": typer.colors.RED}
    typer.secho(outcome.kind, fg=color[outcome.kind], err=True)
    for reason in outcome.reasons:
        typer.echo(f"  {reason}", err=True)
