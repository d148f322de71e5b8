"""The federation's versions, in a file of every kit."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from consilium.data.files import private_folder
from consilium.errors import ConfigurationError
from consilium.federation.versions import component_versions
from consilium.settings import Settings

EXPECTED_VERSIONS = "local/consilium.json"
"""Path of the file in a kit. In `local/`, so that an upgrade replaces it without breaking a signature."""

_VERSION = r"^\d+\.\d+(\..+)?$"


class _Versions(Settings):
    consilium: str = Field(pattern=_VERSION)
    nvflare: str = Field(pattern=_VERSION)


def write_expected_versions(kit: Path) -> None:
    """Write the versions installed here, where the federation is provisioned, into a site's kit."""
    installed = component_versions()
    path = kit / EXPECTED_VERSIONS
    private_folder(path.parent, ours=False)
    versions = _Versions(consilium=installed["consilium"], nvflare=installed["nvflare"])
    path.write_text(versions.model_dump_json(indent=2) + "\n")


def read_expected_versions(kit: Path) -> dict[str, str] | None:
    """Read which versions of consilium and nvflare the federation uses.

    Returns:
        Package to version; None if the kit does not say.

    Raises:
        ConfigurationError: If the file is not what `write_expected_versions` writes.
    """
    try:
        content = json.loads((kit / EXPECTED_VERSIONS).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{EXPECTED_VERSIONS} can't be read as JSON: {type(error).__name__}"
        ) from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{EXPECTED_VERSIONS} holds a {type(content).__name__}, not a JSON object")
    versions: dict[str, str] = _Versions.parse(content, source=EXPECTED_VERSIONS).model_dump()
    return versions
