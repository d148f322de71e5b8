"""`consilium report`: write the report of a downloaded result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.terminal import loading, say, say_result

if TYPE_CHECKING:
    from consilium.records.job_record import JobRecord
    from consilium.records.outcome import Outcome

NOT_COMPLETE = 1

EPILOG = """
After a download, with the command line or in the console:

  $ nvflare job download JOB_ID -o results

  $ consilium report results/JOB_ID --out runs/report

Exit code: 0 all sites took part to the end (of a readiness check: every site is ready), 1 the job is partial
or failed, 2 there is no result to report.
"""


def report(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT_DIR", help="A job's downloaded result.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Where the report goes.", show_default=False)],
) -> None:
    """Write the report of a job's downloaded result, of whatever kind the job is; its folder is only read.

    It has no pictures of patients, as these are at the hospitals.
    """
    with loading("the result, torch and matplotlib"):
        from consilium.data.output_claim import claim_folder
        from consilium.records.job_record import load_record
        from consilium.records.outcome import determine_outcome
        from consilium.report.write import write_report

        record = load_record(result)
        outcome = determine_outcome(record)
        with claim_folder(out, "--out", "a job's report", ("index.html", "report.json")):
            page = write_report(out, record)
    print_result(record, outcome)
    say_result(page)
    raise typer.Exit(0 if outcome.kind == "success" else NOT_COMPLETE)


def print_result(record: JobRecord, outcome: Outcome) -> None:
    """Print on standard error what a readiness check found, and how a job of any kind ended."""
    from consilium.records.readiness import ReadinessRecord
    from consilium.report.readiness.table import terminal_tables
    from consilium.report.terminal import Terminal

    if isinstance(record, ReadinessRecord):
        Terminal(stderr=True).print(terminal_tables(record))
    color = {"success": typer.colors.GREEN, "partial": typer.colors.YELLOW, "failure": typer.colors.RED}
    say(outcome.kind, color=color[outcome.kind], err=True)
    for reason in outcome.reasons:
        say(f"  {reason}", err=True)
