"""Lines on standard output and standard error: the only place of the command line that prints them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from consilium.records.texts import clean_line, clean_lines, printable


def say(line: str, *, err: bool = False, color: str | None = None) -> None:
    """Print one line for a person; what others wrote into it can't break it, and is shortened.

    Args:
        line: The line, with its indent.
        err: To standard error.
        color: Of typer's.
    """
    typer.secho(clean_line(line), fg=color, err=err)


def say_result(result: str | Path) -> None:
    """Print a result, such as a path, as it is: all of it and every space, but printable."""
    typer.echo(printable(str(result), kept="\t"))


def say_json(content: Any) -> None:
    """Print JSON for machines; what is not ASCII is escaped there."""
    typer.echo(json.dumps(content, indent=2))


def say_error(message: str, *, color: str = typer.colors.RED) -> None:
    """Print an error of several lines to standard error."""
    typer.secho(clean_lines(message), fg=color, err=True)
