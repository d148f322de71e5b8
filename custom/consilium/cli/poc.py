"""`consilium poc`: run a federation of real processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import Job, Json, LocalOnly, ProjectFile, SyntheticTask
from consilium.cli.terminal import LOADING, loading, say, say_json, say_result
from consilium.default_task import DEFAULT, training_job
from consilium.errors import Cancelled

if TYPE_CHECKING:
    from consilium.poc.federation import Poc, PocStatus
    from consilium.poc.trial import TrialResult

NOT_COMPLETE = 1
"""Exit code: the job ended partially or failed, or the POC is not up."""

EPILOG = f"""
Everything at once, then the report's path:

  $ consilium poc run

Step by step:

  $ consilium poc up

  $ consilium poc submit {training_job()}

  $ consilium poc status

  $ consilium poc down

Exit code: 0 all sites took part to the end (of a readiness check: every site is ready), 1 the job is partial
or failed, 2 an error, with the next step in its message, 130 stopped by Ctrl-C.
"""

app = typer.Typer(
    no_args_is_help=True,
    epilog=EPILOG,
    help="Run FLARE's proof of concept: the server and three hospitals as real processes on this machine.",
)

Out = Annotated[Path, typer.Option(file_okay=False, help="Folder of the POC, with everything in it.")]
Hospitals = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with a subfolder of cases for every site; default: synthetic hospitals.",
        show_default=False,
    ),
]

_OUT = Path("runs/poc")
_PROJECT = Path("poc/project.yml")
_JOB = training_job()


@app.command()
def up(
    out: Out = _OUT,
    project: ProjectFile = _PROJECT,
    hospitals: Hospitals = None,
    task: SyntheticTask = DEFAULT,
) -> None:
    """Start the server and the sites with the policy of real sites.

    Jobs of an earlier POC in OUT are forgotten; downloaded results stay. `~/.nvflare` is not touched.
    """
    from consilium.simulation.display import Display

    with Display() as display:
        display.show(LOADING)
        from consilium.poc.federation import Poc
        from consilium.poc.guardian import ended_with_this_process
        from consilium.poc.project import Project
        from consilium.poc.trial import check_hospitals, claim_poc, find_hospitals, start

        poc, wanted = Poc(out), Project.read(project)
        check_hospitals(wanted, hospitals, task)
        again = f"stopped; nothing runs on. {poc.command('up')} starts it again."
        with _explain_interruption(again), claim_poc(poc.folder):
            folders = find_hospitals(wanted, hospitals, poc.folder, display, task)
            with ended_with_this_process(poc.folder):
                start(poc, wanted, folders, display)
    say_result(poc.kits)


@app.command()
def submit(job: Job = _JOB, out: Out = _OUT, local_only: LocalOnly = False) -> None:
    """Submit a job, show its progress, download its result, write its report.

    After Ctrl-C the job continues: `consilium poc status` shows it, `consilium poc down` stops everything.
    """
    from consilium.simulation.display import Display

    with Display() as display:
        display.show(LOADING)
        from consilium.poc.federation import Poc

        poc = Poc(out)
        poc.require_server()
        from consilium.poc.trial import run_job
        from consilium.recipes.exported_job import changed_job
        from consilium.recipes.job_folder import job_folder

        goes_on = (
            f"a submitted job continues: {poc.command('status')} shows it, {poc.command('down')} stops "
            "everything."
        )
        changes = {"local_only": True} if local_only else {}
        with (
            _explain_interruption(goes_on),
            job_folder(job) as folder,
            changed_job(folder, changes) as shaped,
        ):
            ended = run_job(poc, shaped, display)
    _finish(ended)


@app.command()
def status(
    out: Out = _OUT,
    as_json: Json = False,
) -> None:
    """Show processes, sites, jobs and rounds; exit code 1 unless the server and all sites run."""
    with _explain_interruption("stopped; the POC is as it was."), loading("FLARE, and asking the server"):
        from consilium.poc.federation import Poc

        poc = Poc(out)
        state = poc.status()
    if as_json:
        say_json(state.as_json())
    else:
        _print_status(state, poc)
    raise typer.Exit(0 if state.up else NOT_COMPLETE)


@app.command()
def down(out: Out = _OUT) -> None:
    """Stop the server and the sites, after a crash as well."""
    with loading("FLARE, and stopping what runs"):
        from consilium.poc.federation import Poc

        ran = Poc(out).down()
    say("down: nothing runs on" if ran else "nothing was running", err=True)


@app.command()
def run(
    job: Job = _JOB, out: Out = _OUT, project: ProjectFile = _PROJECT, hospitals: Hospitals = None
) -> None:
    """Do all of it: synthetic hospitals, real processes, one job, the report; then stop everything."""
    from consilium.simulation.display import Display

    again = (
        "stopped; nothing runs on. The same command starts again with the patients and caches made so far."
    )
    with _explain_interruption(again), Display() as display:
        display.show(LOADING)
        from consilium.poc.federation import Poc
        from consilium.poc.project import Project
        from consilium.poc.trial import run_all
        from consilium.recipes.job_folder import job_folder

        with job_folder(job) as folder:
            ended = run_all(Poc(out), Project.read(project), folder, hospitals, display)
    _finish(ended)


@contextmanager
def _explain_interruption(message: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Cancelled(message) from None


def _finish(ended: TrialResult) -> None:
    from consilium.cli.report import print_result

    print_result(ended.record, ended.outcome)
    say_result(ended.page)
    raise typer.Exit(0 if ended.outcome.kind == "success" else NOT_COMPLETE)


def _print_status(state: PocStatus, poc: Poc) -> None:
    from consilium.report.status.job import print_job

    if not any(state.processes.values()):
        say(f"nothing runs; {poc.command('up')} starts it")
        return
    for name, pids in state.processes.items():
        listed = ", ".join(map(str, pids)) or "NOT running"
        say(f"{name}: {'processes ' if pids else ''}{listed}")
    if not state.up:
        say(f"{poc.command('down')} clears up what is left, and {poc.command('up')} starts it again")
    if state.jobs is None:
        say("jobs: the server does not answer")
        return
    say(f"server's port: {', '.join(map(str, state.ports))}")
    for job in state.jobs:
        print_job(job)
    if not state.jobs:
        say(f"jobs: none yet; {poc.command('submit')} submits one")
