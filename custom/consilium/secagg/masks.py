"""Masks: a 256-bit seed expanded into elements of a ring, and added to arrays in place.

The generator is ChaCha20 (RFC 8439), which is as fast as AES-CTR where the processor has instructions for AES
and much faster where it has none; benchmarks/secagg.py compares them. Its key is derived from the seed and a
context by HKDF-SHA256 (RFC 5869). The context stands for all that both sides of a mask must agree on, such as
the model that was received and how values are encoded: a server that says different things to two sites gets
masks that don't cancel, and learns nothing from the sum. Binding the model closes the attack of Pasquini et
al. 2022, arXiv:2111.07380, in which the other sites get a model whose update is zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from consilium.counts import counted

SEED_BYTES: Final = 32

_LABEL: Final = b"consilium secure aggregation, mask, version 1"
_CHUNK_BYTES: Final = 2**18
"""Expanded at a time: with what it is added to, it stays in the processor's cache."""

_ZEROS: Final = memoryview(bytes(_CHUNK_BYTES))


class KeyStream:
    """Uniform random bytes of a 256-bit key, in order and never twice.

    The same key always gives the same bytes, so it is used for one stream only. A stream has at most 256 GiB.

    Args:
        key: 32 bytes.

    Raises:
        ValueError: If the key has another length.
    """

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
        self._buffer = bytearray(_CHUNK_BYTES)

    def read(self, size: int) -> memoryview:
        """Return the next bytes, at most 2**18; the next call overwrites them.

        Args:
            size: How many.
        """
        self._encryptor.update_into(_ZEROS[:size], self._buffer)
        return memoryview(self._buffer)[:size]


class MaskStream:
    """The mask of one seed, taken tensor by tensor.

    Both sides of a mask take the same tensors in the same order.

    Args:
        seed: 32 bytes, secret, and used for one sum only.
        context: What both sides agree on; see the module.

    Raises:
        ValueError: If the seed has another length.
    """

    def __init__(self, seed: bytes, context: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed of {counted(len(seed), 'byte')}; allowed: {SEED_BYTES}")
        derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_LABEL + context)
        self._stream = KeyStream(derivation.derive(seed))

    def add_to(self, array: NDArray[Any]) -> None:
        """Add the next elements of the mask to an array, in place.

        Args:
            array: Unsigned integers of the ring, contiguous.
        """
        self._apply(array, np.add)

    def subtract_from(self, array: NDArray[Any]) -> None:
        """Subtract the next elements of the mask from an array, in place.

        Args:
            array: Unsigned integers of the ring, contiguous.
        """
        self._apply(array, np.subtract)

    def _apply(self, array: NDArray[Any], operation: np.ufunc) -> None:
        if array.dtype.kind != "u" or array.dtype.byteorder == ">" or not array.flags.c_contiguous:
            raise ValueError(f"masks are added to contiguous unsigned integers, not to {array.dtype} values")
        flat = array.reshape(-1)  # of a contiguous array: the same memory
        values = _CHUNK_BYTES // array.dtype.itemsize
        for start in range(0, flat.size, values):
            part = flat[start : start + values]
            mask = np.frombuffer(self._stream.read(part.nbytes), array.dtype)
            operation(part, mask, out=part)


def apply_masks(
    arrays: Iterable[NDArray[Any]], added: Sequence[MaskStream], subtracted: Sequence[MaskStream]
) -> None:
    """Add and subtract masks, tensor by tensor, in place.

    Args:
        arrays: Tensors in the order that all sides use.
        added: Masks to add.
        subtracted: Masks to subtract.

    Example:
        >>> value = np.array([7, 9], "<u4")
        >>> apply_masks([value], [MaskStream(bytes(32), b"round 1")], [])
        >>> apply_masks([value], [], [MaskStream(bytes(32), b"round 1")])
        >>> value.tolist()
        [7, 9]
    """
    for array in arrays:
        for stream in added:
            stream.add_to(array)
        for stream in subtracted:
            stream.subtract_from(array)


def in_order(arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Return tensors in the order in which masks are applied: by name."""
    return [arrays[name] for name in sorted(arrays)]
