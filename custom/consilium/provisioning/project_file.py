"""FLARE's project file: its participants and their names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from nvflare.apis.utils.format_check import name_check
from nvflare.lighter.constants import DEFINED_ROLES, ParticipantType, PropKey
from pydantic import Field

from consilium.errors import ConfigurationError
from consilium.federation.safe_names import check_site_names
from consilium.federation.site.local_settings import PROPERTY
from consilium.settings import Settings

_TYPES: Final = (ParticipantType.SERVER, ParticipantType.CLIENT, ParticipantType.ADMIN, ParticipantType.RELAY)
_PORTS: Final = (PropKey.FED_LEARN_PORT, PropKey.ADMIN_PORT)
_KNOWN: Final = {
    value for name, value in vars(PropKey).items() if name.isupper() and not value.startswith("__")
} | {PROPERTY}
_FORMS: Final = {
    ParticipantType.SERVER: "a server: it has its host name, such as flare.consortium.example",
    ParticipantType.ADMIN: "a user (admin): it has one such as name@organization.example",
    ParticipantType.RELAY: "a relay: it has letters from A to Z, digits, '-' and '_'",
}
_LONGEST: Final = 64
"""Characters of a common name, and of an organization, in a certificate (RFC 5280, appendix A.1)."""


class Capacity(Settings):
    """GPUs of a hospital that jobs may ask for."""

    num_of_gpus: int = Field(default=0, ge=0, le=1024, strict=True, description="Cards.")
    mem_per_gpu_in_GiB: float = Field(  # noqa: N815
        default=0, ge=0, le=10_000, strict=True, description="Memory of each."
    )


def read_project_file(path: Path, *, missing: str) -> dict[str, Any]:
    """Read a project file, with participants whose names can be used.

    Args:
        path: The file.
        missing: What to do where there is none.

    Raises:
        ConfigurationError: If it can't be read, is not a project file, or contains an invalid name.
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
    check_participants(participants, str(path))
    return dict(content)


def check_participants(participants: Sequence[Mapping[str, Any]], source: str) -> None:
    """Check what is said of participants: FLARE takes most of it, and fails later, or a site does.

    Args:
        participants: Each with its properties, `name` and `type` among them.
        source: Where they stand, for messages.

    Raises:
        ConfigurationError: If one of them can't take part like that, with what is allowed.
    """
    clients = [one.get("name") for one in participants if one.get("type") == ParticipantType.CLIENT]
    others = [one for one in participants if one.get("type") != ParticipantType.CLIENT]
    taken: dict[str, str] = {}
    for one in others:
        _check_other_name(one, taken, source)
    check_site_names(clients, others=taken.values(), where=source)
    for one in participants:
        _check_properties(one, f"{source}: {one['name']!r}")
    servers = [str(one["name"]) for one in others if one["type"] == ParticipantType.SERVER]
    if len(servers) > 1:
        raise ConfigurationError(f"{source}: {' and '.join(servers)} are of type server; allowed: one")


def _check_other_name(one: Mapping[str, Any], taken: dict[str, str], source: str) -> None:
    name, kind = one.get("name"), one.get("type")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"{source}: a participant of type {kind!r} has the name {name!r}; give it one, in quotes"
        )
    if kind not in _TYPES:
        raise ConfigurationError(f"{source}: {name!r} has the type {kind!r}; allowed: {', '.join(_TYPES)}")
    if len(name) > _LONGEST:
        raise ConfigurationError(
            f"{source}: {name!r} has {len(name)} characters, and a certificate holds {_LONGEST}"
        )
    if name_check(name, kind)[0] or name.startswith("-"):
        raise ConfigurationError(f"{source}: {name!r} can't be the name of {_FORMS[kind]}")
    if name.lower() in taken:
        raise ConfigurationError(
            f"{source}: {name!r} is there already, as {taken[name.lower()]!r}; each participant has its own "
            "name"
        )
    taken[name.lower()] = name


def _check_properties(one: Mapping[str, Any], source: str) -> None:
    org = one.get("org")
    if not isinstance(org, str) or len(org) > _LONGEST or name_check(org, "org")[0]:
        raise ConfigurationError(
            f"{source}: org is {org!r}; it is needed, and has at most {_LONGEST} letters from A to Z, digits "
            "and '_'"
        )
    for name in _PORTS:
        port = one.get(name, 1)
        if type(port) is not int or not 0 < port < 1 << 16:
            raise ConfigurationError(f"{source}: {name} is {port!r}; allowed: a number from 1 to 65535")
    role = one.get("role")
    if one["type"] == ParticipantType.ADMIN and role not in DEFINED_ROLES:
        raise ConfigurationError(f"{source}: role is {role!r}; allowed: {', '.join(DEFINED_ROLES)}")
    streaming = one.get(PropKey.ALLOW_LOG_STREAMING, False)
    if not isinstance(streaming, bool):
        raise ConfigurationError(f"{source}: allow_log_streaming is {streaming!r}; allowed: true, false")
    capacity = one.get(PropKey.CAPACITY, {})
    if not isinstance(capacity, Mapping):
        raise ConfigurationError(f"{source}: capacity is {capacity!r}; for example {{num_of_gpus: 4}}")
    Capacity.parse(capacity, source=f"{source}, capacity")
    for name in one:
        near = difflib.get_close_matches(str(name), sorted(_KNOWN), n=1, cutoff=0.8)
        if name not in _KNOWN and near:
            raise ConfigurationError(f"{source} has no property {name!r}; did you mean {near[0]!r}?")
