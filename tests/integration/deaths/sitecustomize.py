"""Python reads this at its start where it is on the path: a site dies, or stops, at a moment of a round.

Only with `CONSILIUM_DEATHS` in the environment, which names a folder, and only in processes that run a job.
The folder's `fates.json` says of a site in which round, from 0, at which moment and by which signal. Each
site writes there what it masks, so that a test can compute the mean in the clear.
"""

import importlib.abc
import json
import os
import signal
import sys
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

THIRD_PIECE = 2


class _Site:
    """The site of this process: whose it is, which round it is in, and when it dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = ""
        self.round = -1

    def reach(self, moment: str) -> None:
        """Die or stop here, if that is this site's fate; once, as its process is started again."""
        fate = json.loads((self.folder / "fates.json").read_text()).get(self.name)
        if fate is None or (fate["round"], fate["moment"]) != (self.round, moment):
            return
        with suppress(FileExistsError):
            with (self.folder / f"{self.name}.pid").open("x") as file:
                file.write(str(os.getpid()))
            os.kill(os.getpid(), getattr(signal, fate["signal"]))


def _prepare() -> None:
    from consilium.federation.transport.array_pieces import ArrayPieces
    from consilium.learning.algorithms import secagg_fedavg
    from consilium.learning.algorithms.secagg_fedavg import CONFIRM, SecAggDialogue

    site = _Site(Path(os.environ["CONSILIUM_DEATHS"]))
    answer, mask, produce = SecAggDialogue.answer, secagg_fedavg.mask_vector, ArrayPieces.produce

    @wraps(answer)
    def mortal_answer(self: Any, question: str, content: Any, sets: Any) -> Any:
        site.name = self._place.site
        if question == CONFIRM:
            site.reach("after")
        return answer(self, question, content, sets)

    @wraps(mask)
    def mortal_mask(vector: Any, **options: Any) -> Any:
        site.round = options["round_index"]
        arrays = {f"update {name}": value for name, value in vector.items()}
        arrays |= {f"model {name}": value for name, value in options["received"].items()}
        np.savez(site.folder / f"{site.name}_{site.round}.npz", cases=options["cases"], **arrays)
        site.reach("before")
        return mask(vector, **options)

    @wraps(produce)
    def mortal_produce(self: Any, state: Any, requester: str) -> Any:
        if (state or {}).get("number") == THIRD_PIECE:
            site.reach("while")
        return produce(self, state, requester)

    SecAggDialogue.answer = mortal_answer  # type: ignore[method-assign]
    secagg_fedavg.mask_vector = mortal_mask
    ArrayPieces.produce = mortal_produce  # type: ignore[method-assign]


class _Finder(importlib.abc.MetaPathFinder):
    """Prepare as soon as the process is about to load what it answers the server with."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "consilium.federation.site.executor":
            sys.meta_path.remove(self)
            _prepare()


if "CONSILIUM_DEATHS" in os.environ and any("worker_process" in word for word in sys.orig_argv):
    sys.meta_path.insert(0, _Finder())
