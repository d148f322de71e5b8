"""What a site keeps of its rounds on its disk: a round that starts in a new process goes on with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from consilium.learning.checkpoints import Checkpoint, CheckpointStore, DamagedCheckpoint
from consilium.learning.weights import Weights

MODEL: Final = "model"
"""The site's own model: the weights after its last training."""

_ROUNDS = 2
"""The last round, and the one before it: a round that the server has lost is trained once more."""

_logger = logging.getLogger(__name__)


class RoundMemory:
    """Keeps what a site has to remember after each round, and gives back what a round starts from.

    With it, a round that is trained again, in this process or in a new one, gives the same update. Without
    it, after a disk failure or in a round after one that this site missed, training goes on with what is at
    hand, as after a new start.

    It holds the site's own model under `MODEL`, and whatever else the local step remembers, such as an
    optimizer's moments, under names of its own.

    Args:
        folder: Of one federation's training at this site; it is made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._store = CheckpointStore(folder, keep=_ROUNDS)

    def recall(self, rounds_done: int) -> Checkpoint | None:
        """Return what was kept after a number of rounds; None if nothing was, or it is damaged."""
        try:
            return self._store.load(rounds_done)
        except DamagedCheckpoint:
            return None

    def last_model(self) -> Weights | None:
        """Return the site's own model after its last training; None if there is none."""
        kept, faults = self._store.load_last()
        for fault in faults:
            _logger.warning("this site's memory of the training: %s", fault)
        return None if kept is None else kept.arrays[MODEL]

    def keep(self, rounds_done: int, arrays: Mapping[str, Weights], values: Mapping[str, Any]) -> None:
        """Keep what there is after a number of rounds; a full disk costs no more than that.

        Args:
            rounds_done: The number.
            arrays: The model under `MODEL`, and what else is arrays.
            values: Plain JSON values.
        """
        try:
            self._store.save(rounds_done, arrays, values)
        except OSError as error:
            _logger.warning(
                "what this site remembers of round %d could not be kept (%s); after a restart of its process "
                "it starts with a new optimizer",
                rounds_done,
                error.strerror,
            )
