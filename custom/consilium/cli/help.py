"""Formatting of help for a terminal of 80 columns."""

from __future__ import annotations

import re
from typing import Any, Final

import typer

COLUMNS: Final = 79
"""Of a folded example, without the space that typer puts before each line."""

_OPTION_OR_REDIRECTION = re.compile(r" (?=--?\w|> )")


def tidy_help(command: Any) -> None:
    """Tidy the help of a command and of those below it, before it is shown.

    A paragraph becomes one line, as a terminal breaks lines. An example, which starts with ``$``, is folded
    where a shell continues it. A switch shows no type.

    Args:
        command: Of typer's.
    """
    command.help, command.epilog = _paragraphs(command.help), _paragraphs(getattr(command, "epilog", None))
    for parameter in (*command.params, command.get_help_option(typer.Context(command))):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for below in getattr(command, "commands", {}).values():
        tidy_help(below)


def _paragraphs(text: str | None) -> str | None:
    return None if text is None else "\n\n".join(_tidy(one) for one in text.strip("\n").split("\n\n"))


def fold(example: str) -> str:
    r"""Fold a command before its options.

    >>> print(fold("$ consilium simulate jobs/brain_tumor_fedavg --out runs/first --site a=/a --site b=/b"))
    $ consilium simulate jobs/brain_tumor_fedavg --out runs/first --site a=/a \
        --site b=/b

    Args:
        example: One line, from its prompt on.
    """
    first, *parts = _OPTION_OR_REDIRECTION.split(example)
    lines = [first]
    for part in parts:
        if len(f"  {lines[-1]} {part} \\") <= COLUMNS - 1:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n".join(lines)


def _tidy(paragraph: str) -> str:
    line = " ".join(paragraph.replace("\\\n", " ").split())
    if not line.startswith("$ "):
        return line
    return "\n".join(f"  {one}" for one in fold(line).splitlines())
