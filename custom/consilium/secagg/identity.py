"""Identity of a hospital in secure aggregation: an Ed25519 key that it makes itself.

The federation's certificates don't serve for it: who holds the federation's CA can issue a second one in any
hospital's name. The others pin this key's fingerprint, which the hospitals exchange without the server.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from consilium.data.files import OTHERS, flush_folder
from consilium.errors import ConfigurationError

IDENTITY_FILE: Final = "secagg_identity.pem"
"""In `local/` of a hospital's kit."""

FINGERPRINT_BYTES: Final = 32


class SiteIdentity:
    """The private identity key of a hospital.

    Args:
        key: The key; `create` and `read` have it in a file.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key: bytes = key.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the public key, which others pin."""
        return fingerprint_of(self.public_key)

    @classmethod
    def create(cls, path: Path) -> SiteIdentity:
        """Make an identity and write it to a new file that only its owner can read.

        Raises:
            ConfigurationError: There is such a file already; it is never overwritten.
            OSError: The file can't be written.
        """
        identity = cls(Ed25519PrivateKey.generate())
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, stat.S_IRUSR | stat.S_IWUSR)
        except FileExistsError:
            raise ConfigurationError(
                f"{path} exists, and an identity is never overwritten: the others pinned it. To replace "
                "it, move the file away, and have the other hospitals pin the new fingerprint"
            ) from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(identity._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
        flush_folder(path.parent)
        return identity

    @classmethod
    def read(cls, path: Path) -> SiteIdentity:
        """Read an identity.

        Raises:
            ConfigurationError: There is none, others can read it, or it is no Ed25519 key.
        """
        try:
            if path.stat().st_mode & OTHERS and os.name == "posix":
                raise ConfigurationError(f"{path} can be read by other accounts; first: chmod 600 {path}")
            key = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            raise ConfigurationError(
                f"{path} is missing; make this hospital's identity with: consilium identity create KIT"
            ) from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationError(f"{path} holds no private key that can be read") from None
        except OSError as error:
            raise ConfigurationError(f"{path} can't be read: {error.strerror}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(f"{path} holds a {type(key).__name__}, and an Ed25519 key is allowed")
        return cls(key)

    def sign(self, statement: bytes) -> bytes:
        """Sign an encoded statement; returns 64 bytes."""
        return self._key.sign(statement)


def is_signed(public_key: bytes, statement: bytes, signature: bytes) -> bool:
    """Return whether a signature of a statement is of an identity.

    Args:
        public_key: The identity's, 32 bytes.
        statement: As encoded by `encode_statement`.
        signature: 64 bytes.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint_of(public_key: bytes) -> bytes:
    """Return the SHA-256 of an identity's public key."""
    return hashlib.sha256(public_key).digest()


def format_fingerprint(fingerprint: bytes) -> str:
    """Return a fingerprint as people compare it.

    Example:
        >>> format_fingerprint(bytes(range(32)))[:11]
        '00:01:02:03'
    """
    return fingerprint.hex(":").upper()


def parse_fingerprint(text: str) -> bytes:
    """Return a fingerprint that a person typed: 64 hexadecimal digits, with or without colons and spaces.

    Raises:
        ValueError: It is none.
    """
    digits = re.sub(r"[:\s]", "", text)
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
        raise ValueError("a fingerprint has 64 hexadecimal digits, such as 9A:41:...")
    return bytes.fromhex(digits)
