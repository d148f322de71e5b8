"""Output of the command line on standard output and standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer

from consilium.records.texts import clean_line, clean_lines, printable

LOADING: Final = "loading torch, MONAI and FLARE"
"""What a command shows first that trains or simulates."""


def say(line: str, *, err: bool = False, color: str | None = None) -> None:
    """Print one line for a person; texts from others in it are cleaned and shortened.

    Args:
        line: The line, with its indent.
        err: To standard error.
        color: Of typer's.
    """
    typer.secho(clean_line(line), fg=color, err=err)


def say_result(result: str | Path) -> None:
    """Print a result, such as a path, unshortened but with printable characters only."""
    typer.echo(printable(str(result), kept="\t"))


def say_json(content: Any) -> None:
    """Print JSON for machines, in ASCII."""
    typer.echo(json.dumps(content, indent=2))


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Show on a terminal what a short command is loading, until its first output.

    A program that reads the output gets nothing of it.

    Args:
        what: The packages, some of which take seconds to import.
    """
    shown = sys.stderr.isatty()
    if shown:
        typer.echo(f"loading {what} ...", nl=False, err=True)
    try:
        yield
    finally:
        if shown:
            typer.echo("\r\x1b[2K", nl=False, err=True)


def say_error(message: str, *, color: str = typer.colors.RED) -> None:
    """Print an error of several lines to standard error."""
    typer.secho(clean_lines(message), fg=color, err=True)
