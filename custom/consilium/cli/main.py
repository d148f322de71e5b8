"""`consilium`: the commands and their errors."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
import warnings
from functools import cache
from typing import Annotated, Any, NoReturn

import typer

from consilium.cli.bundle import EPILOG as BUNDLE_EPILOG
from consilium.cli.bundle import bundle
from consilium.cli.check import EPILOG as CHECK_EPILOG
from consilium.cli.check import check
from consilium.cli.check_site import EPILOG as CHECK_SITE_EPILOG
from consilium.cli.check_site import check_site
from consilium.cli.cohort import EPILOG as COHORT_EPILOG
from consilium.cli.cohort import cohort
from consilium.cli.demo import demo
from consilium.cli.evaluate import EPILOG as EVALUATE_EPILOG
from consilium.cli.evaluate import evaluate
from consilium.cli.help import tidy_help
from consilium.cli.identity import app as identity
from consilium.cli.jobs import app as jobs
from consilium.cli.kits import app as kits
from consilium.cli.ledger import app as ledger
from consilium.cli.poc import app as poc
from consilium.cli.predict import EPILOG as PREDICT_EPILOG
from consilium.cli.predict import predict
from consilium.cli.privacy import EPILOG as PRIVACY_EPILOG
from consilium.cli.privacy import privacy
from consilium.cli.provision import EPILOG as PROVISION_EPILOG
from consilium.cli.provision import provision
from consilium.cli.report import EPILOG as REPORT_EPILOG
from consilium.cli.report import report
from consilium.cli.simulate import EPILOG as SIMULATE_EPILOG
from consilium.cli.simulate import simulate
from consilium.cli.site import app as site
from consilium.cli.status import EPILOG as STATUS_EPILOG
from consilium.cli.status import status
from consilium.cli.terminal import say, say_error
from consilium.cli.train import EPILOG as TRAIN_EPILOG
from consilium.cli.train import train
from consilium.data.files import is_disk_full
from consilium.errors import Cancelled, ConsiliumError
from consilium.processes import end_program, interrupt_on_termination, keep_new_files_private
from consilium.records.texts import clean_lines

WRONG_INPUT = 2
PROGRAM_ERROR = 70
"""EX_SOFTWARE of sysexits.h: no result of any command has it, whereas Python's own 1 has meanings here."""
INTERRUPTED = 130

_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says of a file that only the user can do something about, as about a full disk."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Hospitals train one imaging model with NVIDIA FLARE and MONAI; no image leaves any of them.",
)
app.command()(demo)
app.command(epilog=SIMULATE_EPILOG)(simulate)
app.command(epilog=TRAIN_EPILOG)(train)
app.command(epilog=COHORT_EPILOG)(cohort)
app.command(epilog=CHECK_EPILOG)(check)
app.command(epilog=PREDICT_EPILOG)(predict)
app.command(epilog=EVALUATE_EPILOG)(evaluate)
app.command(epilog=BUNDLE_EPILOG)(bundle)
app.command(epilog=PROVISION_EPILOG)(provision)
app.command("check-site", epilog=CHECK_SITE_EPILOG)(check_site)
app.command(epilog=STATUS_EPILOG)(status)
app.command(epilog=REPORT_EPILOG)(report)
app.command(epilog=PRIVACY_EPILOG)(privacy)
app.add_typer(jobs, name="jobs")
app.add_typer(site, name="site")
app.add_typer(ledger, name="ledger")
app.add_typer(kits, name="kits")
app.add_typer(identity, name="identity")
app.add_typer(poc, name="poc")


def _print_version(asked: bool) -> None:
    if asked:
        from consilium.federation.versions import component_versions

        versions = component_versions()
        say(f"consilium {versions.pop('consilium')}")
        for name, version in versions.items():
            say(f"  {name} {version}")
        raise typer.Exit


@app.callback()
def _consilium(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show versions and exit."),
    ] = False,
) -> None:
    pass


def program() -> None:
    """Run the command line, and end the process also where threads of FLARE would keep it."""
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, int | None):
            end_program(ended.code or 0)
        raise


@cache
def _commands() -> Any:
    """Return all commands as typer's one group, with tidy help; built once in a process."""
    command = typer.main.get_command(app)
    tidy_help(command)
    return command


def main() -> None:
    """Run the command line; exit code 2 for user errors, 70 for internal ones, else as in a shell.

    It is 130 after Ctrl-C, and what ends a command otherwise ends all that it started as Ctrl-C does.

    What a command writes, and what it starts writes, only the user can read.
    """
    interrupt_on_termination()
    keep_new_files_private()
    # MONAI and FLARE import deprecated parts of other packages; the person at the terminal can't change that.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    handler = logging.StreamHandler()
    handler.setFormatter(_CleanLines("%(name)s: %(message)s"))
    logging.basicConfig(level=os.environ.get("CONSILIUM_LOG", "WARNING"), handlers=[handler])
    try:
        _commands()()
    except Cancelled as error:
        _end_interrupted(str(error))
    except ConsiliumError as error:
        say_error(f"error: {error}")
        sys.exit(WRONG_INPUT)
    except (KeyboardInterrupt, SystemExit) as ended:
        # typer catches the interrupt of a running command and makes this exit code of it, without a word.
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        _end_interrupted("stopped; nothing runs on. The same command resumes.")
    except OSError as error:
        full = is_disk_full(error)  # writing into an open file names none
        if not full and (error.errno not in _NOT_OURS or error.filename is None):
            _end_with_traceback(error)
        place = "the disk written to" if error.filename is None else error.filename
        reason = os.strerror(errno.ENOSPC) if error.strerror is None else error.strerror
        say_error(f"error: {place}: {reason}; free it, or name another folder")
        sys.exit(WRONG_INPUT)
    except Exception as error:  # noqa: BLE001 - the end of the program: exit code 1 would be a result
        _end_with_traceback(error)


def _end_with_traceback(error: Exception) -> NoReturn:
    say_error(traceback.format_exc(), color=typer.colors.RESET)
    say_error(
        f"error: unexpected {type(error).__name__}, a fault of Consilium: please report it with the "
        "lines above, without the ids and paths in them"
    )
    sys.exit(PROGRAM_ERROR)


class _CleanLines(logging.Formatter):
    """Formats log records that may quote other machines."""

    def format(self, record: logging.LogRecord) -> str:
        return clean_lines(super().format(record))


def _end_interrupted(message: str) -> NoReturn:
    say_error(f"\n{message}", color=typer.colors.YELLOW)
    sys.exit(INTERRUPTED)
