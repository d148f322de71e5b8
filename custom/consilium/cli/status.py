"""`consilium status`: show jobs to the lead data scientist and the hospital."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import Json
from consilium.cli.terminal import loading, say, say_json
from consilium.errors import ConfigurationError

if TYPE_CHECKING:
    from consilium.records.job_status import JobStatus

NOT_SUCCESSFUL = 1

EPILOG = """
The lead data scientist, at any machine that reaches the server: the jobs that run, or one job:

  $ consilium status --kit scientist@consortium.example

  $ consilium status --kit scientist@consortium.example 64e0768a

Repeatedly, and for scripts:

  $ watch -n 20 consilium status --kit scientist@consortium.example

  $ consilium status --kit scientist@consortium.example --json

The hospital, at the machine that runs the site, with or without a network, also after the job:

  $ consilium status --site /opt/consilium/north

Exit code: 0 the jobs run, or ended with success, or there was none; 1 one of those shown ended partially,
failed, was aborted or stopped at this site; 2 an error, with the next step in its message.
"""


def status(
    job_id: Annotated[
        str | None,
        typer.Argument(
            metavar="JOB_ID",
            help="A job, or the first characters of its id; default: those that run.",
            show_default=False,
        ),
    ] = None,
    kit: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Startup kit of a user of the console.", show_default=False),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Startup kit of a hospital, on its own machine.", show_default=False
        ),
    ] = None,
    study: Annotated[str, typer.Option(help="Whose jobs the server is asked for.")] = "default",
    as_json: Json = False,
) -> None:
    """Show the status of jobs: round, sites, awaited sites and deadline, problems and remedies.

    With --kit the server is asked, with the rights that the user has; its answer holds words, counts and
    times. With --site files of this machine are read, which also say which cases were left out, and why,
    whether the site runs here at all, and whether it was started twice or disabled at the server.
    """
    if (kit is None) == (site is None):
        raise ConfigurationError(
            "name either --kit DIR, the startup kit of a user, or --site DIR, that of a hospital; "
            "`consilium status --help` shows both"
        )
    if site is not None:
        _show_site(site, job_id, as_json=as_json)
    elif kit is not None:
        _show_jobs(kit, job_id, study, as_json=as_json)


def _show_jobs(kit: Path, job_id: str | None, study: str, *, as_json: bool) -> None:
    with loading("FLARE, and asking the server"):
        from consilium.federation.server.user_session import open_session, read_job, read_running_jobs

        with open_session(kit, study=study) as session:
            jobs = [read_job(session, job_id)] if job_id else read_running_jobs(session)
    if as_json:
        say_json([job.as_json() for job in jobs])
    else:
        _print_jobs(jobs, asked=job_id is not None)
    raise typer.Exit(NOT_SUCCESSFUL if any(job.went_wrong for job in jobs) else 0)


def _print_jobs(jobs: list[JobStatus], *, asked: bool) -> None:
    from consilium.report.status.job import print_job

    if not jobs:
        say("no job runs, and none has; `nvflare job submit -j JOB --startup-kit KIT` submits one", err=True)
    elif not asked and jobs[0].status.startswith("FINISHED"):
        say("no job runs; the last one:", err=True)
    for job in jobs:
        print_job(job)


def _show_site(site: Path, job_id: str | None, *, as_json: bool) -> None:
    from consilium.records.site_status import read_site_status
    from consilium.report.status.site import describe_site

    if not site.is_dir():
        raise ConfigurationError(f"{site} is not a folder; name the site's startup kit, from which it runs")
    found = [one for one in read_site_status(site) if one.job_id.startswith(job_id or "")]
    running = _running(site)
    for line in _at_the_server(site):
        say(line, err=True)
    if not found and running is not None and job_id is None:
        say(f"{running}; no job has run", err=True)
        if as_json:
            say_json([])
        return
    if not found:
        which = f"job {job_id} has not run" if job_id else "no job of Consilium has run"
        raise ConfigurationError(
            f"{which} at the site of {site}; {running or _nothing_runs(site)}. With the site's kit, "
            f"`consilium check-site {site}` says whether it is ready for one"
        )
    shown = found if job_id else [one for one in found if one.ended is None and not one.lost] or found[:1]
    if as_json:
        say_json([one.as_json() for one in shown])
    else:
        say(running or _nothing_runs(site))
        for line in (line for one in shown for line in describe_site(one)):
            say(line)
    raise typer.Exit(
        NOT_SUCCESSFUL
        if any(one.outcome in ("partial", "failure") or one.lost or one.stopped for one in shown)
        else 0
    )


def _running(site: Path) -> str | None:
    from consilium.guard.kit_processes import find_processes

    parents = [one for one in find_processes(site) if one.is_parent]
    if not parents:
        return None
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(parents[0].since))
    return f"{site.resolve().name} runs: process {parents[0].pid}, since {since}"


def _at_the_server(site: Path) -> Iterator[str]:
    """Yield what the site has heard of its standing at the server, where that is not as it should be."""
    from consilium.records.job_status import describe_second_start
    from consilium.records.site_connection import is_shut_out, read_second_start

    name = site.resolve().name
    if (start := read_second_start(site)) is not None:
        yield describe_second_start(name, start)
    if is_shut_out(site, name):
        yield (
            f"the server let {name} in no more: it was disabled or removed there. Ask the project admin; "
            "`nvflare system enable-client` undoes it"
        )


def _nothing_runs(site: Path) -> str:
    return f"nothing runs from {site} on this machine, containers aside"
