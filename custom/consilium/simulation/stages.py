"""Record of the stages of a study that are done, for resuming it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from consilium.data.files import write_atomically


@dataclass
class Stages:
    """The finished stages of one study, kept in a file until the study is complete.

    Attributes:
        path: The file.
        key: What the stages' results depend on.
        seconds: Finished stages and how long they took.
    """

    path: Path
    key: str
    seconds: dict[str, float]

    @classmethod
    def open(cls, path: Path, *, key: str) -> Stages:
        """Read the file; stages of a study with another key count as not done."""
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            content = {}
        return cls(path, key, content["seconds"] if content.get("key") == key else {})

    def is_done(self, stage: str) -> bool:
        """Return whether a stage was finished."""
        return stage in self.seconds

    def finish(self, stage: str, seconds: float) -> None:
        """Note that a stage is finished."""
        self.seconds[stage] = seconds
        write_atomically(self.path, json.dumps({"key": self.key, "seconds": self.seconds}).encode())

    def forget(self) -> None:
        """Forget all stages: the study is complete, and the next one starts from the beginning."""
        self.path.unlink(missing_ok=True)
