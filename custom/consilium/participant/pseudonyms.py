"""Keyed hashes that stand for a site's patients and cases, and numbers that follow from them."""

from __future__ import annotations

import hashlib
import os
import re

_NUMBERED = re.compile(r"(.*?)([0-9]{1,18})([^0-9]*)", re.DOTALL)
_GOLDEN_SECTION = 0x9E3779B97F4A7C15  # of 2**64 (Knuth, The Art of Computer Programming 3, 6.4)
_PER_DRAW = 2**64


class Pseudonyms:
    """Keyed hashes of one site: without its secret, none of them can be linked to an id.

    Args:
        key: The site's secret.

    Example:
        >>> Pseudonyms(b"north").patient("P-7") == Pseudonyms(b"south").patient("P-7")
        False
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def fingerprint(self) -> str:
        """Hash of the secret itself."""
        return self._digest(what=b"key")

    def patient(self, patient: str) -> str:
        """Return a patient's pseudonym."""
        return self._digest(patient)

    def case(self, case_id: str) -> str:
        """Return a case's pseudonym, independent of its patient, which the hospital may declare later."""
        return self._digest(case_id, what=b"case")

    def seed(self, *parts: str) -> int:
        """Return a seed of 128 bits that follows from parts and the site's secret.

        It is that long so that nobody finds it by trying all seeds against a job's losses.
        """
        return int(self._digest(*parts, what=b"draw"), 16)

    def key_for(self, use: str) -> bytes:
        """Return a key for another use of the site's secret.

        Args:
            use: Its name.
        """
        return self._digest(use, what=b"key for").encode()

    def draw(self, patient: str) -> float:
        """Return a patient's number from 0 to 1.

        Patients with consecutive numbers get evenly spaced ones, multiples of the golden section, so that a
        small numbered cohort keeps its share.
        """
        numbered = _NUMBERED.fullmatch(patient)
        before, number, after = numbered.groups() if numbered else (patient, "0", "")
        start = int(self._digest(before, after, what=b"side"), 16)
        return (start // _PER_DRAW + int(number) * _GOLDEN_SECTION) % 2**64 / 2**64

    def _digest(self, *names: str, what: bytes = b"") -> str:
        """A keyed hash of names of one kind of thing; a name holds no NUL."""
        content = b"\0".join(os.fsencode(name) for name in names)
        return hashlib.blake2b(content, key=self._key, person=what, digest_size=16).hexdigest()
