"""Progress display: an updating line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.live import Live
from rich.text import Text
from typing_extensions import Self

from consilium.records.texts import clean_line
from consilium.report.terminal import Terminal

_SECONDS_BETWEEN_PLAIN_LINES = 10.0


class Display:
    """Shows progress on standard error, so that standard output stays for results.

    Args:
        console: Where to; by default standard error.
    """

    def __init__(self, console: Terminal | None = None) -> None:
        self._console = console or Terminal(stderr=True)
        self._live = Live(console=self._console, transient=True) if self._console.is_terminal else None
        self._last_line = ""
        self._last_time = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Start showing."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing; what was printed stays."""
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line that stays: a step begins or ends."""
        self._console.print(Text(f"{self._clock()} {clean_line(line)}"))

    def show(self, line: str) -> None:
        """Show the state of the step that runs; on a terminal it replaces the one before."""
        line = clean_line(line)
        if self._live:
            self._live.update(Text(f"{self._clock()} {line}", style="cyan"))
            return
        now = time.monotonic()
        if line != self._last_line and now - self._last_time >= _SECONDS_BETWEEN_PLAIN_LINES:
            self._last_line, self._last_time = line, now
            self._console.print(Text(f"{self._clock()}   {line}"))

    def _clock(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self._started), 60)
        return f"[{minutes:02d}:{seconds:02d}]"
