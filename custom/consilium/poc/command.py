"""FLARE's command line, run without the user's FLARE settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consilium.data.files import private_folder
from consilium.errors import ConsiliumError

_USERS_VARIABLES = ("NVFLARE_HOME",)
"""What would point the commands at a federation of the user's."""


class PocError(ConsiliumError):
    """A failed request to the POC."""


@dataclass(frozen=True)
class FlareCommand:
    """Runs `nvflare` for one POC workspace.

    FLARE remembers workspace and startup kits in the home folder, and installs files there, so the commands
    get a home folder of their own.

    Attributes:
        workspace: FLARE's POC workspace.
        home: The home folder.
    """

    workspace: Path
    home: Path

    def environment(self) -> dict[str, str]:
        """Return the variables that the commands, and the processes that they start, run with."""
        kept = {key: value for key, value in os.environ.items() if key not in _USERS_VARIABLES}
        return {
            **kept,
            "HOME": str(self.home),
            "NVFLARE_POC_WORKSPACE": str(self.workspace),
            "PYTHONWARNINGS": "ignore",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command without waiting for it; `answer` reads its output."""
        private_folder(self.home)
        return subprocess.Popen(
            _line(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.environment(),
            start_new_session=True,  # Ctrl-C is for the caller, who stops what is to be stopped
        )

    def run(self, *words: str, timeout: float) -> Any:
        """Run a command to its end; returns the data of its answer.

        Args:
            *words: The command, such as `job`, `list`.
            timeout: Seconds.

        Raises:
            PocError: If it fails or takes longer.
        """
        with self.start(*words) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException as error:  # after Ctrl-C, too: `with` would wait for the process
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise PocError(f"nvflare {' '.join(words)}: no answer in {timeout:.0f} s") from None
                raise
        return answer(words, output)


def answer(words: Sequence[str], output: str) -> Any:
    """Return the data of a command's output with `--format json`.

    Raises:
        PocError: If the command failed, with FLARE's reason and hint.
    """
    lines = [line for line in output.splitlines() if line.startswith("{")]
    try:
        envelope: Mapping[str, Any] = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        raise PocError(f"nvflare {' '.join(words)} ended without an answer: {output[-500:]!r}") from None
    if envelope.get("status") == "ok":
        return envelope.get("data")
    said = [envelope.get(key) for key in ("message", "detail", "hint")]
    parts = [str(part) for part in said if part]
    raise PocError(f"nvflare {' '.join(words[:2])} failed: " + "\n  ".join(dict.fromkeys(parts)))


def _line(words: Sequence[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("nvflare")), *words, "--format", "json"]
