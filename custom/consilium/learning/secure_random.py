"""Random numbers for privacy, from the operating system's cryptographic generator."""

from __future__ import annotations

import math
import os
from typing import Final

import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from torch import Tensor

KEY_BYTES: Final = 32

_CHUNK_WORDS: Final = 1 << 22
_WORD_BYTES: Final = 8
_FRACTION_BITS: Final = 53
_LOW_BITS: Final = 64 - _FRACTION_BITS


class SecureRandom:
    """Draws patients and noise that nobody can predict, from any number of earlier draws.

    A key from `os.urandom` is expanded by AES-256 in counter mode, as a generator of NIST SP 800-90A does.
    Torch's and NumPy's generators are not for this: their whole sequence follows from a few hundred outputs,
    and so would the noise of an update from the weights that are known.

    Args:
        key: 32 bytes, by which the draws repeat: those of a site's other processes, or of a test. None, as
            it is at a hospital, for new ones.

    Example:
        >>> SecureRandom().gaussian(3).shape
        torch.Size([3])
    """

    def __init__(self, key: bytes | None = None) -> None:
        key = new_key() if key is None else key
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def bernoulli(self, probability: float, count: int) -> Tensor:
        """Draw independent decisions, each true with a probability, exact to 2**-63.

        Args:
            probability: 0 to 1.
            count: How many.

        Returns:
            `(count,)`, bool.
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"the probability is {probability}; allowed: 0 to 1")
        if probability == 1:
            return torch.ones(count, dtype=torch.bool)
        return (self._words(count) & (2**63 - 1)) < int(probability * 2**63)

    def gaussian(self, count: int) -> Tensor:
        """Draw from the standard normal distribution, by Box and Muller 1958, doi 10.1214/aoms/1177706645.

        The radius is from 64 random bits and not from 53, so that draws reach to 9.4 standard deviations.

        Returns:
            `(count,)`, float64.
        """
        first, second = self._words(2 * ((count + 1) // 2)).reshape(2, -1)
        # In (0, 1], so that its logarithm is finite.
        low = (first & ((1 << _LOW_BITS) - 1)) + 1
        uniform = (_fraction_bits(first) + low.double() / (1 << _LOW_BITS)) * 2.0**-_FRACTION_BITS
        radius = uniform.log_().mul_(-2).clamp_(min=0).sqrt_()
        angle = _fraction_bits(second) * (2 * math.pi * 2.0**-_FRACTION_BITS)
        return torch.cat([radius * angle.cos(), radius * angle.sin()])[:count]

    def _words(self, count: int) -> Tensor:
        """Draw 64 bits each, `(count,)` int64."""
        words = torch.empty(count, dtype=torch.int64)
        for start in range(0, count, _CHUNK_WORDS):
            part = words[start : start + _CHUNK_WORDS]
            drawn = bytearray(self._stream.update(bytes(_WORD_BYTES * len(part))))
            part.copy_(torch.frombuffer(drawn, dtype=torch.int64))
        return words


def new_key() -> bytes:
    """Return a key from the operating system's generator."""
    return os.urandom(KEY_BYTES)


def _fraction_bits(words: Tensor) -> Tensor:
    """The upper 53 bits as float64, which holds them exactly."""
    return ((words >> _LOW_BITS) & ((1 << _FRACTION_BITS) - 1)).double()
