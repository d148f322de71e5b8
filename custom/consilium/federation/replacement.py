"""Put code of ours where FLARE calls its own and offers no setting for it."""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeVar

from consilium.errors import ConfigurationError

_Replaced = TypeVar("_Replaced")


def replace(module: ModuleType | type[Any], name: str, known: _Replaced, own: _Replaced) -> None:
    """Let a module of FLARE use our class or function under the name of its own.

    Args:
        module: The module that uses it, or the class whose method it is.
        name: The name there.
        known: FLARE's class or function, that of 2.9.
        own: A class derived from it, or a function that is called in the same way.

    Raises:
        ConfigurationError: If something else stands there. The process doesn't start then, rather than run
            without what ours adds.
    """
    if getattr(module, name, None) not in (known, own):
        raise ConfigurationError(
            f"{module.__name__}.{name} is not that of nvflare 2.9, so "
            f"{getattr(own, '__name__', own)} can't take its place; install nvflare 2.9"
        )
    setattr(module, name, own)
