"""Checkpoints of rounds: arrays and state on disk, rejected if damaged."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConsiliumError, DataError
from consilium.learning.model_file import load_model, save_model
from consilium.learning.weights import Weights

_BLOCK_BYTES = 1024 * 1024
_STATE_FILE = re.compile(r"round_(\d{6})\.json")


class DamagedCheckpoint(ConsiliumError):
    """A damaged or changed checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """State after a round.

    Attributes:
        number: Rounds done.
        arrays: The model and whatever else is arrays, each under its own name.
        state: Everything else, as plain JSON values.
    """

    number: int
    arrays: Mapping[str, Weights]
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one job, in a folder of its own.

    A checkpoint is two files, the arrays as safetensors and the state as JSON. The state holds the hashes of
    both and is written last, each file in one step and flushed to the disk: a checkpoint is there as a whole
    or it isn't there. One that a disk has damaged afterwards is found by its hashes, and the one before it is
    taken.

    Args:
        folder: Made with the first checkpoint, readable by the owner only.
        keep: How many of the last rounds are kept.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder = folder
        self._keep = keep

    def save(
        self,
        number: int,
        arrays: Mapping[str, Weights],
        state: Mapping[str, Any],
        *,
        pinned: Collection[int] = (),
    ) -> None:
        """Keep a round, and remove those that are no longer needed.

        Later rounds are removed first: training has returned to an earlier round, and what was trained after
        that before is no longer part of anything.

        Args:
            number: Rounds done.
            arrays: The model and whatever else is arrays, each under a name without a slash.
            state: Everything else; anything that JSON can hold.
            pinned: Rounds that stay whatever their age, such as that of the best model.

        Raises:
            OSError: If the disk is full or gone. The checkpoints before are untouched.
        """
        private_folder(self.folder)
        for later in reversed(self.numbers()):
            if later > number:
                self._remove(later)
        content = {"number": number, "state": dict(state)}
        named = {f"{group}/{name}": value for group, of_it in arrays.items() for name, value in of_it.items()}
        try:
            save_model(self._arrays_path(number), named, {"round": str(number)})
            content["arrays_sha256"] = _file_hash(self._arrays_path(number))
            content["sha256"] = _content_hash(content)
            write_atomically(self._state_path(number), json.dumps(content).encode())
        except OSError:
            if not self._state_path(number).exists():
                self._arrays_path(number).unlink(missing_ok=True)
            raise
        kept = {*sorted(self.numbers())[-self._keep :], *pinned}
        for old in self.numbers():
            if old not in kept:
                self._remove(old)

    def numbers(self) -> list[int]:
        """Return the rounds at hand, whole or damaged, in ascending order."""
        matches = (_STATE_FILE.fullmatch(path.name) for path in self.folder.glob("round_*.json"))
        return sorted(int(match[1]) for match in matches if match)

    def load(self, number: int) -> Checkpoint:
        """Read one round.

        Raises:
            DamagedCheckpoint: If it isn't there or isn't what was written.
        """
        try:
            content = json.loads(self._state_path(number).read_bytes())
            written = content.pop("sha256")
            if _content_hash(content) != written or content["number"] != number:
                raise DamagedCheckpoint(f"the state of round {number} has changed since it was written")
            if _file_hash(self._arrays_path(number)) != content["arrays_sha256"]:
                raise DamagedCheckpoint(f"the arrays of round {number} have changed since they were written")
            named, _ = load_model(self._arrays_path(number))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise DamagedCheckpoint(f"round {number} can't be read ({type(error).__name__})") from error
        arrays: dict[str, dict[str, NDArray[Any]]] = {}
        for key, value in named.items():
            group, _, name = key.partition("/")
            arrays.setdefault(group, {})[name] = value
        return Checkpoint(number, arrays, content["state"])

    def load_last(self, up_to: int | None = None) -> tuple[Checkpoint | None, list[str]]:
        """Read the last round that is whole.

        Args:
            up_to: The last one that counts; None for any.

        Returns:
            The checkpoint, None if there is none; and what was wrong with each later one.
        """
        faults: list[str] = []
        for number in reversed(self.numbers()):
            if up_to is not None and number > up_to:
                continue
            try:
                return self.load(number), faults
            except DamagedCheckpoint as error:
                faults.append(str(error))
        return None, faults

    def remove(self) -> None:
        """Remove the folder with all rounds."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def _remove(self, number: int) -> None:
        # The state first: without it, arrays are not a checkpoint; without arrays, it would be a damaged one.
        self._state_path(number).unlink(missing_ok=True)
        self._arrays_path(number).unlink(missing_ok=True)

    def _state_path(self, number: int) -> Path:
        return self.folder / f"round_{number:06d}.json"

    def _arrays_path(self, number: int) -> Path:
        return self.folder / f"round_{number:06d}.safetensors"


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _content_hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
