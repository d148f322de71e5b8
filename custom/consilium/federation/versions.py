"""The versions that have to fit together between sites."""

import platform
from importlib.metadata import version


def component_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a model's numbers depend on."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("consilium", "nvflare", "monai", "torch")},
    }
