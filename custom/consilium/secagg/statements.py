"""Canonical encoding of what is signed, hashed and derived from, each under a purpose of its own."""

from __future__ import annotations

import hashlib
from typing import Final

PROTOCOL: Final = "consilium secagg 2"
"""Begins every statement: a signature of another program or version is none of this protocol."""


def encode_statement(purpose: str, *parts: bytes | str | int) -> bytes:
    """Encode a purpose and its values so that no two different lists of values have the same bytes.

    Each value is its kind (1 byte), its length (8 bytes, big-endian) and its content: UTF-8, or a number in
    decimal.

    Args:
        purpose: What the bytes are for, such as `advertisement`.
        parts: The values, in the order that the purpose defines.

    Example:
        >>> encode_statement("x", "ab", "c") == encode_statement("x", "a", "bc")
        False
    """
    encoded = bytearray()
    for part in (PROTOCOL, purpose, *parts):
        if isinstance(part, bytes):
            kind, content = b"b", part
        elif isinstance(part, str):
            kind, content = b"s", part.encode()
        else:
            kind, content = b"i", str(int(part)).encode()
        encoded += kind + len(content).to_bytes(8, "big") + content
    return bytes(encoded)


def digest_statement(purpose: str, *parts: bytes | str | int) -> bytes:
    """Return the SHA-256 of an encoded statement, 32 bytes."""
    return hashlib.sha256(encode_statement(purpose, *parts)).digest()
