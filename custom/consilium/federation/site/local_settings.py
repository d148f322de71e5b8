"""The hospital's settings from its `local/` files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, WorkspaceConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace

from consilium.errors import ConfigurationError
from consilium.participant.site_settings import SiteSettings

PROPERTY = "consilium"
"""Key under which a privacy scope's `properties` hold the site's settings."""


def read_site_settings(fl_ctx: FLContext, task: str) -> SiteSettings:
    """Read this site's settings for a task from the properties of the job's privacy scope.

    POC and provisioned sites hand them over in the context. FLARE's simulator starts no privacy service, so
    there the same properties are read from the same file, the site's `local/privacy.json`.

    Args:
        fl_ctx: A context of the job.
        task: What the job is about; nothing of it is imported.

    Raises:
        ConfigurationError: If the scope is unknown, has no settings for Consilium, or they can't be used.
        SiteRefusal: If the task is of another package and the hospital has not listed it.
    """
    workspace: Workspace = fl_ctx.get_engine().get_workspace()
    properties = fl_ctx.get_prop(FLContextKey.SCOPE_PROPERTIES)
    source = Path(workspace.get_site_config_dir()) / WorkspaceConstants.PRIVACY_CONFIG
    if properties is None:
        properties = scope_properties(source, fl_ctx.get_prop(FLContextKey.JOB_SCOPE_NAME) or None)
    site = parse_site_settings(properties, source=source, root=Path(workspace.get_root_dir()))
    return site.for_task(task)


def listed_tasks(path: Path) -> frozenset[str]:
    """Return the tasks that a site's policy lists, in any of its scopes: their packages may be imported here.

    A policy that can't be read lists none, nor does a scope that can't be used.

    Args:
        path: The site's `privacy.json`.
    """
    try:
        policy = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return frozenset()
    scopes = policy.get("scopes") if isinstance(policy, Mapping) else None
    listed: set[str] = set()
    for scope in scopes if isinstance(scopes, list) else []:
        properties = scope.get("properties") if isinstance(scope, Mapping) else None
        try:
            listed |= parse_site_settings(properties, source=path, root=path.parent).tasks.keys()
        except ConfigurationError:
            continue
    return frozenset(listed)


def parse_site_settings(properties: Any, *, source: Path, root: Path) -> SiteSettings:
    """Read the site's settings out of the properties of a privacy scope.

    Args:
        properties: What the scope has under `properties`.
        source: The file that contains it, for the message.
        root: The site's workspace, where relative paths start.

    Raises:
        ConfigurationError: If there are no settings for Consilium, or they can't be used.
    """
    if not isinstance(properties, Mapping) or PROPERTY not in properties:
        raise ConfigurationError(
            f"{source}: the privacy scope has no property {PROPERTY!r}; add "
            f'"properties": {{"{PROPERTY}": {{"dataset": "/folder/with/cases"}}}} to it'
        )
    if not isinstance(properties[PROPERTY], Mapping):
        raise ConfigurationError(
            f"{source}: property {PROPERTY!r} is {properties[PROPERTY]!r}, not a JSON object"
        )
    settings = SiteSettings.parse(properties[PROPERTY], source=f"{source}, property {PROPERTY!r}")
    return settings.in_workspace(root)


def scope_properties(path: Path, scope_name: str | None) -> Any:
    """Return the properties of a privacy scope, None if it has none.

    Args:
        path: The site's `privacy.json`.
        scope_name: The scope; None for the default one.

    Raises:
        ConfigurationError: If the file is missing or no privacy policy, or has no such scope.
    """
    try:
        policy = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing: this site has no settings of its data") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(policy, Mapping):
        raise ConfigurationError(f"{path} holds a {type(policy).__name__}, not a JSON object")
    scopes = policy.get("scopes", [])
    if not isinstance(scopes, list) or not all(isinstance(scope, Mapping) for scope in scopes):
        raise ConfigurationError(f"{path}: scopes is not a list of JSON objects")
    wanted = scope_name or policy.get("default_scope")
    for scope in scopes:
        if scope.get("name") == wanted:
            return scope.get("properties")
    raise ConfigurationError(f"{path} has no privacy scope {wanted!r}")
