"""Console for all output, which cleans texts from others, and the form of its tables."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from consilium.records.texts import printable

_UNBROKEN: Final = 10_000
"""Columns of what is not a terminal; rich would take it for one of 80."""


class Terminal(Console):
    """A rich console for texts from others.

    Job names, reasons, versions and states come from other machines. No markup, emoji code or number in them
    is interpreted, and every character that is not printable is dropped last of all, whatever it stood in:
    what rich itself sends to move the cursor and to color is kept apart from texts.

    Lines break, and columns narrow, only on a terminal: a pipe or a file gets names and sentences whole.

    The arguments are those of rich's console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})
        if not self.is_terminal and "width" not in options and "COLUMNS" not in os.environ:
            self.width = _UNBROKEN

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render something into segments; rich calls this for all that it prints."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def folding_table(titles: Iterable[str], *, unbroken: Collection[str] = (), **options: Any) -> Table:
    """Return an empty table whose cells break their lines where the terminal ends, and lose nothing.

    Args:
        titles: Of its columns.
        unbroken: Titles of columns whose cells stay in one line.
        options: Further ones of rich's table.
    """
    table = Table(box=SIMPLE_HEAD, **options)
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title in unbroken)
    return table
