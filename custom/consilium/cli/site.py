"""`consilium site`: stop a hospital or the server, or run it as a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import KitFolder
from consilium.cli.terminal import say, say_error, say_result

if TYPE_CHECKING:
    from consilium.provisioning.kit import Kit

JOB_RUNS = 1

app = typer.Typer(
    no_args_is_help=True, help="Stop a hospital or the server on its own machine; run it as a service."
)

_STOP_EPILOG = """
Before an upgrade, between jobs; it says so and stops nothing while a job runs:

  $ consilium site stop /opt/consilium/north

Wait for the end of the job first, or don't wait:

  $ consilium site stop --when-idle /opt/consilium/north

  $ consilium site stop --now /opt/consilium/north

Exit code: 0 everything is stopped, 1 a job is running and nothing was stopped, 2 an error,
with the next step in its message.
"""

_SERVICE_EPILOG = """
As root, with the site's environment active:

  $ consilium site service /opt/consilium/north > /etc/systemd/system/consilium-north.service

  $ systemctl daemon-reload

  $ systemctl enable --now consilium-north
"""


@app.command("stop", epilog=_STOP_EPILOG)
def stop(
    kit: KitFolder,
    when_idle: Annotated[
        bool, typer.Option("--when-idle", help="While a job runs, wait for its end, then stop.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Stop also while a job runs.")] = False,
) -> None:
    """End all processes of a site on this machine, in order: start scripts, parent process, jobs.

    A hospital logs out of the federation. A job that runs continues without it where enough others take
    part, and has it back from the next round on once it is started again. Jobs of a server that is
    stopped continue after their last complete round when it is started again. A process that doesn't end
    within 20 seconds is killed. A site that systemd runs is stopped with `systemctl stop`, or it is
    started again.
    """
    from consilium.provisioning.kit import Kit
    from consilium.provisioning.site_stop import JobRuns, running_jobs, stop_site, wait_until_idle
    from consilium.simulation.display import Display

    site = Kit(kit)
    with Display() as display:
        if when_idle and not now:
            wait_until_idle(site, display.show)
        jobs = running_jobs(site)
        display.show(f"stopping {site.site_name}")
        try:
            ended = stop_site(site, jobs_too=now)
        except JobRuns as error:
            say_error(_running(site, error.jobs))
            raise typer.Exit(JOB_RUNS) from None
    for one in ended:
        say(f"{'killed' if one.killed else 'ended'}: {one.what}, process {one.pid}")
    if not ended:
        say(f"{site.site_name}: nothing runs from {kit} on this machine{_elsewhere(site)}")
        return
    say(f"{site.site_name} is stopped; `consilium check-site {kit}` before the next start")
    if jobs:
        say(_continuation(site, jobs))


@app.command("service", epilog=_SERVICE_EPILOG)
def service(
    kit: KitFolder,
    user: Annotated[
        str | None,
        typer.Option(help="Account that runs the site; default: the kit's owner.", show_default=False),
    ] = None,
) -> None:
    """Print a systemd unit for a kit: started with the machine, restarted after a failure, hardened.

    It holds the paths of this machine and of the Python environment that this command runs in. The site
    may write to its kit, and to `cache_dir` and `state_dir` of its privacy.json, and nowhere else.
    """
    from consilium.provisioning.kit import Kit
    from consilium.provisioning.systemd_service import service_unit

    for line in service_unit(Kit(kit), user=user).splitlines():
        say_result(line)


def _running(site: Kit, jobs: Sequence[str]) -> str:
    return (
        f"{site.site_name} is in a job, and nothing was stopped: --when-idle waits for the job's end; with "
        f"--now, {_continuation(site, jobs)}"
    )


def _continuation(site: Kit, jobs: Sequence[str]) -> str:
    what = f"job{'s' if len(jobs) > 1 else ''} {', '.join(jobs)}"
    if site.kind == "server":
        return f"{what} continues after the last complete round when the server is started again"
    return (
        f"{what} continues without {site.site_name} if enough sites are left, and takes it in again when it "
        "is started; what it has trained in the running round is lost"
    )


def _elsewhere(site: Kit) -> str:
    return "" if site.runtime == "process" else f"; the kit is for {site.runtime}: stop it there"
