"""Layout of several arrays in one block of bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Bytes: every array starts at a multiple, so that it can be used in place."""

_KINDS = "biufc"
"""Kinds of numbers that are transferred: no objects (they need unpickling), no text, no records."""


@dataclass(frozen=True)
class ArraySpan:
    """One array's place in the block.

    Attributes:
        name: Its name.
        dtype: Its kind of numbers.
        shape: Its shape.
        start: Its first byte.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def end(self) -> int:
        """The byte behind its last."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


class ArrayTable:
    """The layout of several arrays in one block of bytes, and its description for another process.

    Args:
        arrays: Name, kind of numbers and shape of each, in their order.

    Raises:
        ValueError: If one is not of numbers, or a size is negative.
    """

    def __init__(self, arrays: list[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> None:
        self.spans: list[ArraySpan] = []
        self.bytes = 0
        for name, dtype, shape in arrays:
            if dtype.kind not in _KINDS or dtype.hasobject:
                raise ValueError(f"arrays of {dtype.str} can't be transferred, only arrays of numbers")
            if min(shape, default=0) < 0:
                raise ValueError(f"no array has the shape {shape}")
            span = ArraySpan(name, dtype, shape, start=-(-self.bytes // ALIGNMENT) * ALIGNMENT)
            self.spans.append(span)
            self.bytes = span.end

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> ArrayTable:
        """Return the table of some arrays.

        Raises:
            ValueError: If one is not of numbers.
        """
        return cls([(name, array.dtype, array.shape) for name, array in arrays.items()])

    @classmethod
    def parse(cls, description: bytes) -> ArrayTable:
        """Read a description that `describe` has written in another process, which may be dishonest.

        Raises:
            ValueError: If it is not a description.
        """
        try:
            arrays = [
                (str(name), np.dtype(str(dtype)), tuple(int(length) for length in shape))
                for name, dtype, shape in json.loads(description)
            ]
        except (TypeError, ValueError, OverflowError, RecursionError, SyntaxError) as error:
            raise ValueError(f"no description of arrays ({type(error).__name__})") from None
        return cls(arrays)

    def describe(self) -> bytes:
        """Return the description from which `parse` makes the same table."""
        return json.dumps([(span.name, span.dtype.str, span.shape) for span in self.spans]).encode()

    def arrays_in(self, content: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return the arrays in a block of bytes, without a copy.

        Args:
            content: The bytes, `(self.bytes,)`.
        """
        return {
            span.name: content[span.start : span.end].view(span.dtype).reshape(span.shape)
            for span in self.spans
        }
