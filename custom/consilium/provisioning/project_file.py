"""FLARE's project file, looked at before FLARE does: whom it names, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from nvflare.lighter.constants import ParticipantType

from consilium.errors import ConfigurationError
from consilium.federation.names import check_site_names


def read_project_file(path: Path, *, missing: str) -> dict[str, Any]:
    """Read a project file, with participants whose names can be used.

    Args:
        path: The file.
        missing: What to do where there is none.

    Raises:
        ConfigurationError: If it can't be read, is no project file, or names somebody as nobody can be.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is not there; {missing}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}; --project names a file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    participants = content.get("participants") if isinstance(content, dict) else None
    if not isinstance(participants, list) or not all(isinstance(one, dict) for one in participants):
        raise ConfigurationError(f"{path} is not a FLARE project file: it has no list of participants")
    _check_names(participants, str(path))
    return dict(content)


def _check_names(participants: list[dict[str, Any]], source: str) -> None:
    clients = [one.get("name") for one in participants if one.get("type") == ParticipantType.CLIENT]
    others = [one for one in participants if one.get("type") != ParticipantType.CLIENT]
    for one in others:
        if not isinstance(one.get("name"), str) or not one["name"]:
            raise ConfigurationError(
                f"{source}: a participant of type {one.get('type')!r} has the name {one.get('name')!r}; "
                "give it one, in quotes"
            )
    check_site_names(clients, others=[one["name"] for one in others], where=source)
