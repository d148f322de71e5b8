"""`consilium check`: check a folder of cases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.findings_table import print_findings
from consilium.cli.options import (
    ACCEPTED_HELP,
    CONVENTION_HELP,
    MISSING_HELP,
    PATIENTS_HELP,
    Changes,
    FileEndings,
    JobToCheck,
    JsonWithoutCases,
    ShowCases,
    parse_convention,
    parse_endings,
    parse_missing,
)
from consilium.cli.terminal import LOADING, say_json, say_result
from consilium.counts import counted
from consilium.default_task import training_job

if TYPE_CHECKING:
    from consilium.report.data_check.page import DataCheck

EPILOG = """
A hospital's folder, with a page that lists every case:

  $ consilium check /data/north --html check.html

Several examinations of a patient, under ids that don't say so: a file to correct, and the check with it:

  $ consilium check /data/north --write-patients patients.csv

  $ consilium check /data/north --patients patients.csv

Labels that don't distinguish a target, at a hospital that trains the others:

  $ consilium check /data/north --convention CONVENTION --missing TARGET

An image that the hospital doesn't acquire; what is found names the jobs that take it, and by which setting:

  $ consilium check /data/north --missing IMAGE

Findings that were reviewed and are accepted: a file to complete, and the check with it:

  $ consilium check /data/north --write-accepted accepted.csv

  $ consilium check /data/north --accepted accepted.csv

For a program, or for people outside the hospital: counts by code, without ids and paths:

  $ consilium check /data/north --json

After Ctrl-C the same command resumes.

Exit code: 0 ready, or good without labels or with too few patients to train on (warnings included), 1 some
cases are left out, 2 the folder or the command can't be used, 70 an error in Consilium itself, 130 stopped.
"""

_EXIT = {"ready": 0, "good_without_labels": 0, "too_few_to_train": 0, "cases_left_out": 1, "not_usable": 2}


def check(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The dataset folder; it is only read.", show_default=False)
    ],
    as_json: JsonWithoutCases = False,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write a page that names cases; it must not leave the hospital.", show_default=False
        ),
    ] = None,
    show_cases: ShowCases = False,
    job: JobToCheck = training_job(),
    change: Changes = None,
    convention: Annotated[
        str | None,
        typer.Option(
            metavar="CONVENTION",
            help=CONVENTION_HELP,
            show_default=False,
        ),
    ] = None,
    patients: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=PATIENTS_HELP, show_default=False),
    ] = None,
    write_patients: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write such a file to correct, by what the ids look like; it must not leave the hospital.",
            show_default=False,
        ),
    ] = None,
    file_ending: FileEndings = None,
    missing: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE|TARGET", help=MISSING_HELP, show_default=False)
    ] = None,
    accepted: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=ACCEPTED_HELP, show_default=False),
    ] = None,
    write_accepted: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write such a file to complete: a line for each finding that can be accepted, without those "
            "that are; it must not leave the hospital.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Where findings are kept between runs. Default: below the user's cache folder.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one for each core.", show_default=False)
    ] = None,
) -> None:
    """Find what is wrong with a folder of cases, before anything runs on it.

    What it calls an error leaves the case out of training on a site, by the same code.
    """
    import os

    from consilium.simulation.display import Display

    with _failures_as_json(as_json, show_cases=show_cases), Display() as display:
        display.show(LOADING)
        from consilium.data.checks.accepted_findings import format_acceptances
        from consilium.data.patients import format_patients_file
        from consilium.errors import ConfigurationError
        from consilium.report.data_check.page import render_data_check
        from consilium.settings import parse_changes
        from consilium.site_check.folder import check_folder, default_state, require_writable_output
        from consilium.site_check.job import load_site_job
        from consilium.tasks import get_task

        for option, path in (
            ("--html", html),
            ("--write-patients", write_patients),
            ("--write-accepted", write_accepted),
        ):
            if path:
                require_writable_output(path, folder, option)
            if path and path.exists() and option != "--html":
                raise ConfigurationError(
                    f"{option} {path} is there already, and may have been completed; name another file."
                )
        display.show("looking for cases")
        site_job = load_site_job(job, changes=parse_changes(change or ()))
        task = get_task(site_job.learning.task)
        lacking = {name: parse_missing(name, task, f"--missing {name}") for name in missing or ()}
        found = check_folder(
            folder,
            site_job,
            convention=parse_convention(convention, task.cases) if convention else None,
            patients_file=patients,
            file_endings=parse_endings(file_ending or (), task.cases),
            missing_inputs=[name for name, is_target in lacking.items() if not is_target],
            missing_targets=[name for name, is_target in lacking.items() if is_target],
            accepted=accepted,
            state=state or default_state(),
            workers=workers or os.cpu_count() or 1,
            progress=lambda done, total, what: display.show(f"{what}: {done} of {total}"),
        )
        if html:
            _write(html, render_data_check(found))
        if write_patients and found.checked:
            _write(write_patients, format_patients_file(found.checked.cohort.patients))
        if write_accepted and found.checked:
            _write(write_accepted, format_acceptances(found.checked.findings))
    if as_json:
        say_json(found.as_json(cases=show_cases))
    else:
        _print(found, show_cases=show_cases)
        for path in (html, write_patients, write_accepted):
            if path and path.exists():
                say_result(path)
    raise typer.Exit(_EXIT[found.verdict])


@contextmanager
def _failures_as_json(wanted: bool, *, show_cases: bool) -> Iterator[None]:
    """Print JSON for an unfinished check too, if requested, and re-raise the error.

    Messages may name paths and cases: without `show_cases` only the kind of error is printed.
    """
    try:
        yield
    except Exception as error:  # passes on, whatever it is; JSON stays JSON
        if wanted:
            from consilium.data.files import readable
            from consilium.errors import ConsiliumError
            from consilium.report.data_check.page import FORMAT

            kind = "not_checked" if isinstance(error, ConsiliumError) else "program_error"
            content = {"format": FORMAT, "verdict": kind, "error": type(error).__name__}
            say_json({**content, **({"message": readable(error)} if show_cases else {})})
        raise


def _write(path: Path, content: str) -> None:
    """Write a file that names cases.

    Raises:
        ConfigurationError: It can't be written, for example because the disk is full.
    """
    from consilium.data.files import private_opener
    from consilium.errors import ConfigurationError

    try:
        with open(path, "w", encoding="utf-8", opener=private_opener) as file:
            file.write(content)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror or error}") from error


def _print(found: DataCheck, *, show_cases: bool) -> None:
    from consilium.report.terminal import Terminal

    console = Terminal()
    print_findings(console, found.groups, total=found.total, show_cases=show_cases)
    counts = found.counts
    accepted = sum(len(group.cases) for group in found.accepted)
    more = f", {counted(accepted, 'finding')} accepted" if accepted else ""
    console.print(
        f"{found.verdict.replace('_', ' ')}: {counted(counts['used'], 'case')} of "
        f"{counted(found.patients, 'patient')} used "
        f"({counts['labeled']} labeled), {counts['left_out']} left out{more}"
    )
    for sentence in (found.sets, found.targets, found.advice):
        if sentence:
            console.print(f"{sentence}.")
