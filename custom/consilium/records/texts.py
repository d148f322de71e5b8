"""Cleaning of texts from others for a terminal, a log, a record and a page."""

from __future__ import annotations

import unicodedata
from typing import Final

from consilium.counts import counted

LONGEST_REASON: Final = 400
"""Characters of one reason, wherever it is kept or shown."""

_SCANNED = 8
"""How many times `longest` is looked at: what comes behind that is dropped unseen."""

_MARKS_IN_A_ROW = 2
"""Combining marks on one character; a pile of them covers the lines above."""


def clean_text(text: object, longest: int = LONGEST_REASON) -> str:
    r"""Return a text as one line that neither commands a terminal nor forges a line.

    Control characters (C0, C1, ESC, so every escape sequence), bidirectional controls, other invisible
    formats, surrogates and what Unicode has not assigned are dropped. Line and paragraph separators, tabs and
    every kind of space become one space, and so do several of them: a long run of spaces would wrap, and what
    follows look like a line of its own.

    Args:
        text: Anything; what is not a text becomes the name of its type.
        longest: Characters of the result at most; a longer one ends with an ellipsis.

    Example:
        >>> clean_text("ok\x1b[2J\r\nSUCCESS")
        'ok[2J SUCCESS'
        >>> clean_text("x" * 9, longest=4)
        'xxx…'
    """
    if not isinstance(text, str):
        text = type(text).__name__
    kept: list[str] = []
    marks = 0
    for character in text[: longest * _SCANNED]:
        if character.isspace():
            character = " "
        elif not character.isprintable():
            continue
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append(character)
    line = " ".join("".join(kept).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def clean_line(line: str, longest: int = 2000) -> str:
    """Return a line of our own, in which others may have written, cleaned and with its indent."""
    return " " * min(len(line) - len(line.lstrip(" ")), 8) + clean_text(line, longest)


def printable(text: str, kept: str = "\n") -> str:
    """Return a text without the characters that are not printable.

    Args:
        text: The text.
        kept: Characters that stay all the same.
    """
    return "".join(one for one in text if one.isprintable() or one in kept)


def clean_lines(text: str, *, longest: int = 1000, most_lines: int = 100) -> str:
    """Return a message of several lines, such as an error, with each of them cleaned; indents stay.

    Args:
        text: The message.
        longest: Characters of a line at most.
        most_lines: Lines at most; the rest becomes one that says so.
    """
    lines = text.split("\n")
    kept = [clean_line(line, longest) for line in lines[:most_lines]]
    if len(lines) > most_lines:
        kept.append(f"({counted(len(lines) - most_lines, 'more line')})")
    return "\n".join(kept)
