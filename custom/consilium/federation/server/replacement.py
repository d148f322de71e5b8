"""Put a class of ours where FLARE builds one of its own and offers no setting for it."""

from __future__ import annotations

from types import ModuleType

from consilium.errors import ConfigurationError


def replace_class(module: ModuleType, name: str, known: type, own: type) -> None:
    """Let a module of FLARE build our class under the name of its own.

    Args:
        module: The module that builds it.
        name: The class's name there.
        known: FLARE's class, that of 2.9.
        own: A class derived from it.

    Raises:
        ConfigurationError: If something else stands there. The server doesn't start then, rather than run
            without what our class adds.
    """
    if getattr(module, name, None) not in (known, own):
        raise ConfigurationError(
            f"{module.__name__}.{name} is not the class of nvflare 2.9, so {own.__name__} can't take its "
            "place; install nvflare 2.9"
        )
    setattr(module, name, own)
