"""Persistent state of a site's rounds, from which any process can continue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from consilium.learning.algorithms.base import LocalState
from consilium.learning.checkpoints import Checkpoint, CheckpointStore
from consilium.learning.weights import Weights, WeightSets

_ROUNDS = 2
"""The last round, and the one before it: a round that the server has lost is trained once more."""

_OF_ALGORITHM: Final = "algorithm."

_logger = logging.getLogger(__name__)


class RoundStateStore:
    """Store of a site's state after each round.

    A round that is trained again, in this process or in a new one, starts from the same state and gives the
    same update. After a round that this site missed, training starts from the last state before it; without
    any, as after a disk failure, from a new one.

    It holds the site's own model under `MODEL`, the optimizer's moments, and what the algorithm remembers,
    each under a name of its own.

    Args:
        folder: Of one federation's training at this site; it is made when it is needed. None to keep the
            rounds in this process, as in a simulation.
        rounds: How many of the last rounds are kept.
    """

    def __init__(self, folder: Path | None = None, rounds: int = _ROUNDS) -> None:
        self._store = None if folder is None else CheckpointStore(folder, keep=rounds)
        self._rounds = rounds
        self._held: dict[int, Checkpoint] = {}

    @property
    def in_process(self) -> bool:
        """Whether rounds end with this process, and no other one sees them."""
        return self._store is None

    def recall(self, rounds_done: int) -> Checkpoint | None:
        """Return the last state up to a number of rounds; None if missing or damaged."""
        if self._store is None:
            last = max((number for number in self._held if number <= rounds_done), default=None)
            return None if last is None else self._held[last]
        kept, faults = self._store.load_last(up_to=rounds_done)
        _warn_of(faults)
        return kept

    def keep(self, rounds_done: int, arrays: WeightSets, values: Mapping[str, Any]) -> None:
        """Store the state after a number of rounds; on a full disk only this state is lost.

        Args:
            rounds_done: The number. Later rounds are forgotten.
            arrays: The model under `MODEL`, and what else is arrays.
            values: Plain JSON values.
        """
        if self._store is None:
            earlier = sorted(number for number in self._held if number < rounds_done)[1 - self._rounds :]
            self._held = {number: self._held[number] for number in earlier}
            self._held[rounds_done] = Checkpoint(rounds_done, dict(arrays), dict(values))
            return
        try:
            self._store.save(rounds_done, arrays, values)
        except OSError as error:
            _logger.warning(
                "the state of round %d could not be saved (%s); after a restart of its process this site "
                "continues with a new optimizer",
                rounds_done,
                error.strerror,
            )


def pack_algorithm(state: LocalState) -> dict[str, Weights]:
    """Return what an algorithm remembers as sets of arrays that lie beside the trainer's own."""
    return {f"{_OF_ALGORITHM}{name}": value for name, value in state.arrays.items()}


def unpack_algorithm(arrays: WeightSets, values: Mapping[str, Any]) -> LocalState:
    """Return what `pack_algorithm` has packed, with the algorithm's plain values."""
    names = [name for name in arrays if name.startswith(_OF_ALGORITHM)]
    return LocalState({name.removeprefix(_OF_ALGORITHM): arrays[name] for name in names}, values)


def _warn_of(faults: list[str]) -> None:
    for fault in faults:
        _logger.warning("this site's state of the training: %s", fault)
