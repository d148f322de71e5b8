"""Seed of one mask and the sign with which the mask is added."""

from __future__ import annotations

from typing import Literal, NamedTuple


class MaskSeed(NamedTuple):
    """Seed of one mask.

    Attributes:
        seed: 32 bytes, used for one vector.
        sign: Whether the mask is added (1) or subtracted (-1).
    """

    seed: bytes
    sign: Literal[1, -1]
