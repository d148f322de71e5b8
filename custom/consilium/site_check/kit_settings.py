"""A hospital's settings, read from its kit by a person at its machine."""

from __future__ import annotations

from pathlib import Path

from nvflare.apis.fl_constant import WorkspaceConstants

from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import parse_site_settings, scope_properties
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit


def read_kit_settings(folder: Path, task: str | None = None) -> SiteSettings:
    """Read a hospital's settings of its default privacy scope.

    Args:
        folder: The kit's.
        task: A task, whose dataset may be another one; None for the site's dataset.

    Raises:
        ConfigurationError: It is no hospital's kit, or its settings can't be used.
        SiteRefusal: The task is of another package, and the hospital has not listed it.
    """
    kit = Kit(folder.expanduser())
    if kit.kind != "client":
        raise ConfigurationError(
            f"{folder} is the kit of a {kit.kind}, which has no patients; name a hospital's"
        )
    source = kit.local / WorkspaceConstants.PRIVACY_CONFIG
    site = parse_site_settings(scope_properties(source, None), source=source, root=kit.root.resolve())
    return site if task is None else site.for_task(task)
