"""`consilium check-site`: check whether a hospital is ready to join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import Changes, JobToCheck, JsonWithoutCases, KitFolder, ShowCases
from consilium.cli.terminal import LOADING, say_json
from consilium.default_task import training_job

if TYPE_CHECKING:
    from rich.table import Table

    from consilium.site_check.readiness import Readiness

NOT_READY = 1

EPILOG = f"""
Before the first start, as the account that will start it:

  $ consilium check-site /opt/consilium/north

For a job that the lead data scientist announces, and as a file for the project admin:

  $ consilium check-site /opt/consilium/north --json \\
  --job {training_job()}_gpu > north.json

Exit code: 0 ready (warnings included), 1 something failed, 2 KIT is not a site's startup kit.
"""

_MARKS = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "failed": ("FAILED", "bold red"),
    "skipped": ("skipped", "dim"),
}


def check_site(
    kit: KitFolder,
    job: JobToCheck = training_job(),
    change: Changes = None,
    offline: Annotated[bool, typer.Option("--offline", help="Skip what needs the network.")] = False,
    as_json: JsonWithoutCases = False,
    show_cases: ShowCases = False,
) -> None:
    """Check whether a hospital is ready to join: kit, policy, software, network, data, machine.

    Nothing is changed: KIT and the dataset folder are only read. Below each failure is the command or
    edit that fixes it, with paths as seen from KIT. Every label is read: a large dataset takes a while.
    """
    from consilium.simulation.display import Display

    with Display() as display:
        display.show(LOADING)
        from consilium.federation.site.local_settings import listed_tasks
        from consilium.provisioning.kit import Kit
        from consilium.settings import parse_changes
        from consilium.site_check.job import load_site_job
        from consilium.site_check.readiness import check_site as run_checks

        startup_kit = Kit(kit)
        readiness = run_checks(
            startup_kit,
            load_site_job(
                job,
                listed=listed_tasks(startup_kit.local / "privacy.json"),
                changes=parse_changes(change or ()),
            ),
            offline=offline,
            on_finding=lambda finding: display.show(f"checked: {finding.title}"),
            progress=lambda done, total, what: display.show(f"{what}: {done} of {total}"),
        )
    if as_json:
        say_json(readiness.as_json(cases=show_cases))
    else:
        _print_report(readiness, show_cases=show_cases)
    raise typer.Exit(0 if readiness.ready else NOT_READY)


def _print_report(readiness: Readiness, *, show_cases: bool) -> None:
    from collections import Counter

    from consilium.counts import counted
    from consilium.records.texts import clean_text
    from consilium.report.terminal import Terminal

    console = Terminal()
    console.print(_table(readiness, show_cases=show_cases))
    counts = Counter(finding.status.value for finding in readiness.findings)
    summary = (
        f"{readiness.site}: {'ready' if readiness.ready else 'not ready'} for job {readiness.job}; "
        + f"{counts['ok']} ok, {counted(counts['warning'], 'warning')}, {counts['failed']} failed, "
        f"{counts['skipped']} skipped"
    )
    console.print(clean_text(summary))


def _table(readiness: Readiness, *, show_cases: bool) -> Table:
    from rich.text import Text

    from consilium.records.texts import clean_line, clean_lines, clean_text
    from consilium.report.terminal import folding_table

    title = clean_text(f"Site {readiness.site}, federation {readiness.project}")
    table = folding_table(("", "check", "seen"), title=Text(title))
    for finding in readiness.findings:
        seen = Text(clean_lines(finding.seen))
        if finding.remedy:
            seen.append(f"\n-> {clean_lines(finding.remedy)}", style="bold")
        for line in (*finding.details, *(finding.cases if show_cases else ())):
            seen.append(f"\n{clean_line(line)}", style="dim")
        table.add_row(Text(*_MARKS[finding.status.value]), finding.title, seen)
    return table
