"""An optimizer's moments on the site's disk: a round that starts in a new process goes on with them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from consilium.learning.checkpoints import CheckpointStore, DamagedCheckpoint

_ROUNDS = 2
"""The last round's moments, and those before it: a round that the server has lost is trained once more."""

_logger = logging.getLogger(__name__)


class OptimizerMemory:
    """Keeps the moments after each round, and gives back those that a round starts from.

    With them, a round that is trained again, in this process or in a new one, gives the same update. Without
    them, after a disk failure or in a round after one that this site missed, training goes on with those at
    hand, as after a new start of the optimizer.

    Args:
        folder: Of one federation's training at this site; it is made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._store = CheckpointStore(folder, keep=_ROUNDS)

    def recall(
        self, rounds_done: int, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> bool:
        """Bring the moments back that were there after a number of rounds; returns whether they were kept."""
        try:
            kept = self._store.load(rounds_done)
        except DamagedCheckpoint:
            return False
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in kept.weights.items():
            parameter, _, key = name.partition("/")
            state.setdefault(int(parameter), {})[key] = torch.from_numpy(np.array(value))
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        if kept.state["scaler"]:
            scaler.load_state_dict(kept.state["scaler"])
        return True

    def keep(self, rounds_done: int, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """Keep the moments after a number of rounds; a full disk costs no more than them."""
        moments = {
            f"{parameter}/{key}": value.detach().cpu().numpy()
            for parameter, values in optimizer.state_dict()["state"].items()
            for key, value in values.items()
        }
        try:
            self._store.save(rounds_done, moments, {"scaler": scaler.state_dict()})
        except OSError as error:
            _logger.warning(
                "the optimizer's moments after round %d could not be kept (%s); after a restart of this "
                "site's process it starts with new ones",
                rounds_done,
                error.strerror,
            )
