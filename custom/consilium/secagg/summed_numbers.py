"""Numbers beside a vector in a sum, such as losses and scores, from the sites that have them.

A number takes two coordinates: its value in fixed point, and a one. So the opened sum has its mean over the
sites that sent one, and how many these are. A number that a single site has is that site's: the sum of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consilium.secagg.ring import FixedPoint, integer_code


class SummedNumber(NamedTuple):
    """A number in an opened sum.

    Attributes:
        total: Sum over the sites that sent it.
        sites: How many sites these are.
    """

    total: float
    sites: int


class NumberCode:
    """Encoding of named numbers of a site, in a fixed order, as elements of the ring of 32 bits.

    Example:
        >>> code = NumberCode({"loss": 100.0}, sites=3)
        >>> encoded = [code.encode(values) for values in ({"loss": 0.5}, {"loss": 0.25}, {})]
        >>> total, sites = code.decode(sum(encoded))["loss"]
        >>> round(total, 4), sites
        (0.75, 2)

    Args:
        bounds: Each number's largest absolute value; larger ones are clipped.
        sites: Most sites in the sum.
    """

    def __init__(self, bounds: Mapping[str, float], sites: int) -> None:
        self._codes = {name: FixedPoint(bits=32, terms=sites, bound=bounds[name]) for name in sorted(bounds)}
        self._ones = integer_code(sites)

    @property
    def coordinates(self) -> int:
        """How many elements the numbers take."""
        return 2 * len(self._codes)

    def encode(self, values: Mapping[str, float]) -> NDArray[Any]:
        """Return the numbers as elements of the ring, rounded to the nearest; missing ones as zeros.

        Args:
            values: By name; only known ones.

        Raises:
            KeyError: A name is unknown.
            ValueError: A number is not finite.
        """
        if unknown := sorted(values.keys() - self._codes.keys()):
            raise KeyError(f"no such number in the sum: {', '.join(unknown)}")
        encoded = np.zeros(self.coordinates, self._ones.dtype)
        signed = encoded.view("<i4")
        for place, (name, code) in enumerate(self._codes.items()):
            if name not in values:
                continue
            if not np.isfinite(values[name]):
                raise ValueError(f"{name} is not finite")
            clipped = min(max(values[name], -code.bound), code.bound)
            signed[2 * place : 2 * place + 2] = round(clipped / code.step), 1
        return encoded

    def decode(self, total: NDArray[Any]) -> dict[str, SummedNumber]:
        """Return each number of an opened sum.

        Args:
            total: Sum of the sites' elements, without masks.
        """
        return {
            name: SummedNumber(
                float(code.decode(total[2 * place : 2 * place + 1])[0]),
                int(self._ones.decode(total[2 * place + 1 : 2 * place + 2])[0]),
            )
            for place, (name, code) in enumerate(self._codes.items())
        }
