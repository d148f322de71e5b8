"""The site's policy: which classes a job may name, and where the site's data lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST
from nvflare.app_common.widgets.component_path_authorizer import CLASS_ALLOW_LIST

from consilium.federation.site import PROPERTY
from consilium.learning.participant import SiteSettings

CLASS_PREFIX = "consilium."
SCOPE = "hospital"
"""Name of the one privacy scope that a site has unless its IT department defines others."""


def allowed_classes() -> list[str]:
    """Return FLARE's own allow-list and our package: an explicit list replaces FLARE's, so it holds both."""
    return [*DEFAULT_CLASS_ALLOW_LIST, CLASS_PREFIX]


def write_class_policy(local: Path) -> None:
    """Write `resources.json` with the class allow-list into a `local/` folder."""
    _write_json(
        local / WorkspaceConstants.RESOURCES_CONFIG,
        {"format_version": 2, CLASS_ALLOW_LIST: allowed_classes()},
    )


def write_site_policy(local: Path, site: SiteSettings) -> None:
    """Write `privacy.json` with one scope, which says where the site's data lies, into a `local/` folder."""
    properties = {PROPERTY: site.model_dump(mode="json", exclude_defaults=True)}
    _write_json(
        local / WorkspaceConstants.PRIVACY_CONFIG,
        {"scopes": [{"name": SCOPE, "properties": properties}], "default_scope": SCOPE},
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
