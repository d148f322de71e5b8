"""Error feedback: what rounding and clipping take from an update, a site adds to its next one.

Seide et al. 2014, doi 10.21437/Interspeech.2014-274; Karimireddy et al. 2019, arXiv:1901.09847. With 10 bits
a value, rounding alone would take small changes from single updates; over rounds nothing is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.secagg.ring import FixedPoint


class ErrorFeedback:
    """Errors of a site's encoded updates, kept at the site, in its process only.

    A round may be asked several times before it counts, and each time has to start from the errors after the
    round before it, so those of two rounds are kept. After a restart of the process there are none: that
    loses a part of one update, once.
    """

    def __init__(self) -> None:
        self._errors: dict[int, dict[str, NDArray[np.float32]]] = {}

    def begin(self, round_index: int) -> None:
        """Start an attempt of a round: forget the errors of this round and of later ones."""
        earlier = sorted(index for index in self._errors if index < round_index)[-1:]
        self._errors = {index: self._errors[index] for index in earlier}

    def corrected(self, round_index: int, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Return one tensor of an update with the errors of the last round before it.

        Args:
            round_index: The round that the update is of.
            name: The tensor's name.
            values: Its values.
        """
        before = max((index for index in self._errors if index < round_index), default=None)
        if before is None or name not in self._errors[before]:
            return values
        return np.asarray(values + self._errors[before][name])

    def keep(
        self,
        round_index: int,
        name: str,
        values: NDArray[Any],
        encoded: NDArray[Any],
        code: FixedPoint,
        weight: float,
    ) -> None:
        """Store what encoding took from one tensor.

        Args:
            round_index: The round.
            name: The tensor's name.
            values: Its corrected values.
            encoded: What is sent of them, before it is masked.
            code: How they were encoded.
            weight: By which they were multiplied.
        """
        if weight > 0:
            error = np.asarray(values, dtype=np.float64) - code.decode(encoded) / weight
            self._errors.setdefault(round_index, {})[name] = error.astype(np.float32)
