"""Progress display: an updating line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from rich.live import Live
from rich.text import Text
from typing_extensions import Self

from consilium.records.texts import clean_line
from consilium.report.terminal import Terminal

_SECONDS_BETWEEN_PLAIN_LINES: Final = 10.0
_SECONDS_BETWEEN_STEPS: Final = 1.0
_NUMBERS: Final = re.compile(r"\d+")


class Display:
    """Shows progress on standard error, so that standard output stays for results.

    Args:
        console: Where to; by default standard error.
        clock: Seconds, of a clock that never goes back.
    """

    def __init__(self, console: Terminal | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Terminal(stderr=True)
        self._live = Live(console=self._console, transient=True) if self._console.is_terminal else None
        self._now = clock
        self._last_line = ""
        self._started = clock()
        self._last_time = self._started - _SECONDS_BETWEEN_PLAIN_LINES

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
        """Show the state of the step that runs; on a terminal it replaces the one before.

        Elsewhere a new step is a line at once, and the progress of one a line every ten seconds.
        """
        line = clean_line(line)
        if self._live:
            self._live.update(Text(f"{self._clock()} {line}", style="cyan"))
            return
        now, same_step = self._now(), _NUMBERS.sub("", line) == _NUMBERS.sub("", self._last_line)
        pause = _SECONDS_BETWEEN_PLAIN_LINES if same_step else _SECONDS_BETWEEN_STEPS
        if line != self._last_line and now - self._last_time >= pause:
            self._last_line, self._last_time = line, now
            self._console.print(Text(f"{self._clock()}   {line}"))

    def _clock(self) -> str:
        minutes, seconds = divmod(round(self._now() - self._started), 60)
        return f"[{minutes:02d}:{seconds:02d}]"
