"""Errors of the scripts of a bundle, which runs without Consilium and has none of its codes."""

from __future__ import annotations


class UnusableImage(ValueError):
    """An image that can't be used.

    Args:
        code: What kind of problem it is.
        detail: What was seen.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"the image {detail} ({code})")
        self.code = code
        self.detail = detail


UnusableFile = UnusableImage
"""The name that the other scripts import."""


class _Codes:
    """Names of problems: each attribute is its own name."""

    def __getattr__(self, name: str) -> str:
        return name.lower()


ProblemCode = str
VolumeCode = DataCode = _Codes()


def counted(number: float | None, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
