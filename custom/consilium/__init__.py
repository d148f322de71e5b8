"""Consilium: hospitals train, evaluate and ship one medical imaging model with NVIDIA FLARE and MONAI."""


def __getattr__(name: str) -> str:
    """Return `__version__`; reading it from the installed package takes longer than most imports."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("consilium")
