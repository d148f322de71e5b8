"""Shamir's secret sharing of 256-bit secrets over a prime field (https://doi.org/10.1145/359168.359176).

Fewer shares than the threshold are independent of the secret. Shares carry no authentication: who combines
them checks the result against what the secret's owner signed.

Python's integers are not constant in time. No branch here depends on a secret, every secret is shared once
with fresh coefficients, and the time of an answer at a site holds much else, so nothing is to be timed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

PRIME: Final = 2**256 + 297
"""The smallest prime above 2**256, so that every 32-byte secret is an element of the field."""

SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 33

_COEFFICIENT_BYTES: Final = 64
"""Random bytes a coefficient: reduced by the prime, they are uniform but for less than 2**-254."""


def split_secret(
    secret: bytes, *, threshold: int, count: int, random: Callable[[int], bytes] = secrets.token_bytes
) -> list[bytes]:
    """Split a secret into shares of which any `threshold` give it back.

    Args:
        secret: 32 bytes.
        threshold: How many shares are needed, at least 1.
        count: How many shares are made, at least `threshold`.
        random: Source of random bytes; another one is for test vectors only.

    Returns:
        The values of the polynomial at 1, 2, ..., `count`, as 33 bytes each.

    Raises:
        ValueError: The secret's length, or the numbers, are not as above.

    Example:
        >>> shares = split_secret(bytes(31) + b"x", threshold=2, count=3)
        >>> combine_shares({1: shares[0], 3: shares[2]})[-1:]
        b'x'
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes (seen: {len(secret)})")
    if not 1 <= threshold <= count:
        raise ValueError(f"a threshold of {threshold} with {count} in all")
    coefficients = [int.from_bytes(secret, "big")]
    coefficients += [int.from_bytes(random(_COEFFICIENT_BYTES), "big") % PRIME for _ in range(threshold - 1)]
    return [_evaluate(coefficients, x).to_bytes(SHARE_BYTES, "big") for x in range(1, count + 1)]


def combine_shares(shares: Mapping[int, bytes]) -> bytes:
    """Return the secret that shares are of, by Lagrange's interpolation at 0.

    With fewer shares than the threshold, or a false one, the result is a value of no meaning or an error.

    Args:
        shares: Place of each share, from 1, to its 33 bytes; as many as the threshold.

    Raises:
        ValueError: There is none, a share is no element of the field, or the result is no 32-byte secret.
    """
    if not shares or min(shares) < 1:
        raise ValueError("shares have places from 1")
    total = 0
    for x, share in shares.items():
        y = int.from_bytes(share, "big")
        if len(share) != SHARE_BYTES or y >= PRIME:
            raise ValueError("a share that is no element of the field")
        numerator = denominator = 1
        for other in shares:
            if other != x:
                numerator = numerator * other % PRIME
                denominator = denominator * (other - x) % PRIME
        total = (total + y * numerator * pow(denominator, -1, PRIME)) % PRIME
    if total >> (8 * SECRET_BYTES):
        raise ValueError("the shares are not of one secret")
    return total.to_bytes(SECRET_BYTES, "big")


def _evaluate(coefficients: list[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value
