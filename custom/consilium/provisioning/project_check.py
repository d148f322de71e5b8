"""Check of a whole project file before FLARE writes anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nvflare.fuel.utils.class_loader import get_class_name, load_class
from nvflare.lighter.constants import ParticipantType
from nvflare.lighter.impl.static_file import StaticFileBuilder
from nvflare.lighter.spec import Builder

from consilium.errors import ConfigurationError
from consilium.provisioning.builder import SitePolicyBuilder, check_scheme
from consilium.provisioning.signature import StartupSignatureBuilder

_PROJECT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def check_project(content: Mapping[str, Any], source: str, *, kits: bool) -> None:
    """Check a project file of which the participants are in order.

    Args:
        content: As `read_project_file` returns it.
        source: The file, for messages.
        kits: Whether kits of all are made of it; a hospital that makes its own key has a file without a
            server and without the root key's signatures.

    Raises:
        ConfigurationError: If the kits can't be made, or would lack what protects a site.
    """
    name = content.get("name")
    if not isinstance(name, str) or not _PROJECT_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{source}: the project's name is {name!r}; it becomes a folder and the name of the CA: at most "
            "64 letters from A to Z, digits, '_', '-' and '.'"
        )
    servers = [one for one in content["participants"] if one.get("type") == ParticipantType.SERVER]
    if kits and not servers:
        raise ConfigurationError(f"{source} has no participant of type server; provision/project.yml has one")
    builders = content.get("builders")
    if not isinstance(builders, list) or not all(isinstance(one, Mapping) for one in builders):
        raise ConfigurationError(f"{source} has no list of builders; copy it from provision/project.yml")
    _check_builders(content, builders, source, kits=kits)


def _check_builders(
    content: Mapping[str, Any], builders: list[Mapping[str, Any]], source: str, *, kits: bool
) -> None:
    paths = [one.get("path") for one in builders]
    static, policy, signature = map(
        get_class_name, (StaticFileBuilder, SitePolicyBuilder, StartupSignatureBuilder)
    )
    wanted = [static, policy, *([signature] if kits else [])]
    if [path for path in paths if path in wanted] != wanted:
        raise ConfigurationError(
            f"{source}: builders need, once each and in this order, {', '.join(wanted)}: without them a kit "
            "has FLARE's settings, no policy of its site, and modes that show keys to other accounts. Copy "
            "the list from provision/project.yml"
        )
    for path in paths:
        _require_builder(path, source)
    arguments = {str(one["path"]): one.get("args") or {} for one in builders if one.get("path") in wanted}
    try:
        policies = SitePolicyBuilder(**arguments[policy])
    except TypeError as error:
        raise ConfigurationError(f"{source}: SitePolicyBuilder has no such setting: {error}") from None
    clients = [one for one in content["participants"] if one.get("type") == ParticipantType.CLIENT]
    policies.read_sites({one["name"]: one for one in clients})
    check_scheme(arguments[static].get("scheme", "grpc"))


def _require_builder(path: object, source: str) -> None:
    """Check that a builder's class can be loaded, before FLARE fails with a traceback."""
    try:
        found = load_class(path)
    except TypeError:  # whatever the cause is
        found = None
    if not isinstance(found, type) or not issubclass(found, Builder):
        raise ConfigurationError(
            f"{source}: {path!r:.200} is no builder that this Python can load; copy the list from "
            "provision/project.yml"
        )
