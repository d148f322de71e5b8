"""Version compatibility between sites and server."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

from consilium.records.bounds import VERSIONED

_CONTRACT = ("consilium", "nvflare")
"""Packages that must agree in their first two numbers: tasks, reports and messages are theirs."""


def component_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a model's numbers depend on."""
    return {
        "python": platform.python_version(),
        **{name: _installed(name) for name in VERSIONED if name != "python"},
    }


@cache
def _installed(name: str) -> str:
    """The version of a package, looked up once in a process."""
    return version(name)


def incompatibility(own: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """Return why two ends of a federation can't work together.

    They have to agree in the first two numbers of consilium's and nvflare's versions. Other packages may
    differ: the report names the differences.

    Args:
        own: This end's versions, by package.
        other: The other end's.

    Returns:
        A sentence, or None if the two fit.
    """
    differing = [
        f"{name} {own.get(name, 'missing')} here and {other.get(name, 'missing')} there"
        for name in _CONTRACT
        if _series(own.get(name)) != _series(other.get(name))
    ]
    if not differing:
        return None
    return f"versions do not fit: {'; '.join(differing)}; the first two numbers must be the same"


def _series(version_text: str | None) -> tuple[str, ...] | None:
    return None if version_text is None else tuple(version_text.split(".")[:2])
