"""Check of the rights in the site's `local/authorization.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.fuel.sec.authz import parse_policy_config
from nvflare.security.security import COMMAND_CATEGORIES

from consilium.errors import ConfigurationError
from consilium.provisioning.kit import Kit, editable
from consilium.provisioning.policy import authorization_policy
from consilium.site_check.finding import SiteCheck, SiteFinding

BYOC = SiteCheck("policy.byoc", "No job contains its own code")
RIGHTS = SiteCheck("policy.rights", "Nobody has more rights than provisioned")

_AUTHORIZATION = WorkspaceConstants.AUTHORIZATION_CONFIG
_PERMISSIONS = "permissions"
_BYOC_RIGHT = "byoc"
_ANY_RIGHT = "*"
_NOBODY = {"none", "no"}
_EVERYBODY = {"any", "all"}


def check_byoc(kit: Kit) -> SiteFinding:
    """Check that `local/authorization.json` lets no user submit a job with its own code."""
    name = kit.policy_file(_AUTHORIZATION)
    if name is None:
        return BYOC.failed(
            f"local/{_AUTHORIZATION} is missing: without it FLARE permits everything to everybody",
            "ask the project admin for the site's policy files",
        )
    try:
        policy, problem = parse_policy_config(kit.read_json(name), COMMAND_CATEGORIES)
    except (ConfigurationError, TypeError, ValueError) as error:
        policy, problem = None, str(error)
    if policy is None:
        return BYOC.failed(
            f"{name}: {problem}", "correct it, or ask the project admin for the site's policy files"
        )
    edited = editable(name)
    granted = [role for role in policy.get_roles() if not _denies_code(policy.role_rights[role])]
    if granted:
        return BYOC.failed(
            f"{name} lets these roles run code of their own on this machine: {', '.join(granted)}",
            f'set "{_BYOC_RIGHT}": "none" for {", ".join(granted)} in {edited}; a role that is written as '
            '"any" has every right, so list its rights instead',
            data={"granted": granted},
        )
    return BYOC.ok(f"{name} denies it to {', '.join(policy.get_roles())}")


def _denies_code(rights: dict[str, Any]) -> bool:
    """Whether no user meets the conditions of a role's right to bring code; a right not named is denied."""
    return _is_denied(rights.get(_ANY_RIGHT, rights.get(_BYOC_RIGHT, "none")))


def _is_denied(expression: Any) -> bool:
    """Whether no user meets the conditions of a right."""
    conditions = [
        " ".join(str(text).lower().split())
        for text in (expression if isinstance(expression, list) else [expression])
    ]
    if any(condition in {f"not {word}" for word in _EVERYBODY} for condition in conditions):
        return True
    permits = [condition for condition in conditions if not condition.startswith("not ")]
    return bool(permits) and set(permits) <= _NOBODY


def check_rights(kit: Kit) -> SiteFinding:
    """Check that `local/authorization.json` gives no role a right, or a wider one, that was not provisioned.

    Which jobs and commands a hospital accepts rests on it: the signer of a job needs the right to submit by
    this very file.
    """
    name = kit.policy_file(_AUTHORIZATION)
    try:
        permissions = kit.read_json(name or _AUTHORIZATION).get(_PERMISSIONS)
    except ConfigurationError:
        permissions = None
    if not isinstance(permissions, Mapping):
        return RIGHTS.skipped(f"local/{_AUTHORIZATION} can't be read")
    edited = editable(name or f"local/{_AUTHORIZATION}")
    wider = sorted(_wider(permissions, authorization_policy(kit.kind)[_PERMISSIONS]))
    if wider:
        return RIGHTS.failed(
            f"{name} differs from what was provisioned, and not only by denying more: {', '.join(wider)}",
            f'set these to "none" in {edited}, or take the file that was provisioned',
            data={"wider": wider},
        )
    return RIGHTS.ok(f"{name} is as provisioned, or tighter")


def _wider(stated: Mapping[str, Any], provisioned: Mapping[str, Any]) -> Iterator[str]:
    for role, rights in stated.items():
        if not isinstance(rights, Mapping):
            if not _is_denied(rights):
                yield f"{role}"
            continue
        known = provisioned.get(role, {})
        for right, expression in rights.items():
            if expression != known.get(right) and not _is_denied(expression):
                yield f"{right} of {role}"
