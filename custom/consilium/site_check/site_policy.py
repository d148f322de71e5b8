"""Check of the site's policy: class list, data folder, what leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.app_common.logging.constants import ALLOW_LOG_STREAMING_VAR
from nvflare.app_common.widgets.component_path_authorizer import (
    ALLOW_ALL,
    CLASS_ALLOW_LIST,
    CLASS_LIST_ENFORCEMENT_MODE,
    ClassListEnforcementMode,
)

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import parse_site_settings, scope_properties
from consilium.guard.parties import SiteKind
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.provisioning.kit import Kit, editable
from consilium.provisioning.policy import APP_VALIDATOR, allowed_classes, guard, job_validator
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.job import SiteJob
from consilium.tasks.registry import is_built_in, task_names

CLASSES = SiteCheck("policy.classes", "Classes that a job may name")
JOBS = SiteCheck("policy.jobs", "Every job, message and connection is checked")
LOGS = SiteCheck("policy.log_streaming", "Logs stay on this machine")
TASKS = SiteCheck("policy.tasks", "Tasks that may run here")
SCOPE = SiteCheck("policy.scope", "Settings of this site")

_RESOURCES = WorkspaceConstants.RESOURCES_CONFIG
_PRIVACY = f"local/{WorkspaceConstants.PRIVACY_CONFIG}"


def check_resources(kit: Kit, job: SiteJob) -> Iterator[SiteFinding]:
    """Check `local/resources.json`: what a job may name and bring, and that logs are not streamed."""
    name = kit.policy_file(_RESOURCES)
    try:
        resources = kit.read_json(name or f"local/{_RESOURCES}")
    except ConfigurationError as error:
        yield CLASSES.failed(str(error), "ask the project admin for the site's policy files")
        yield JOBS.skipped("local/resources.json can't be read")
        yield LOGS.skipped("local/resources.json can't be read")
        return
    assert name is not None
    edited = editable(name)
    yield _check_classes(resources, name, kit.kind, job if kit.kind == "client" else None)
    yield _check_guards(resources, name, kit.kind)
    if kit.kind == "server":
        yield LOGS.skipped("this is the server's kit: there is nowhere else to stream to")
    elif resources.get(ALLOW_LOG_STREAMING_VAR, True) is not False:
        yield LOGS.failed(
            f"{name} lets jobs stream this site's log files, which name patients and folders, to the server",
            f'set "{ALLOW_LOG_STREAMING_VAR}": false in {edited}',
        )
    else:
        yield LOGS.ok(f"{name} forbids streaming of log files")


def _check_classes(resources: dict[str, Any], name: str, kind: SiteKind, job: SiteJob | None) -> SiteFinding:
    edited = editable(name)
    mode = resources.get(CLASS_LIST_ENFORCEMENT_MODE, ClassListEnforcementMode.ENFORCE.value)
    if mode != ClassListEnforcementMode.ENFORCE.value:
        return CLASSES.failed(
            f"{name} has {CLASS_LIST_ENFORCEMENT_MODE} {mode!r}: other classes are let through",
            f'set "{CLASS_LIST_ENFORCEMENT_MODE}": "{ClassListEnforcementMode.ENFORCE.value}" in {edited}',
        )
    listed = resources.get(CLASS_ALLOW_LIST)
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        seen = "has none" if listed is None else "is not a list of names"
        return CLASSES.failed(
            f"{CLASS_ALLOW_LIST} of {name} {seen}, so no job of consilium can run here",
            f'set "{CLASS_ALLOW_LIST}": {json.dumps(allowed_classes(kind))} in {edited}, or ask the project '
            "admin for the site's policy files",
        )
    wider = [entry for entry in listed if not _covered(entry, allowed_classes(kind))]
    if wider:
        return CLASSES.failed(
            f"{CLASS_ALLOW_LIST} of {name} lets a job name more than was provisioned: {', '.join(wider)}",
            f"delete {', '.join(repr(entry) for entry in wider)} from {CLASS_ALLOW_LIST} in {edited}",
            data={"wider": wider},
        )
    refused = [path for path in (job.classes if job else ()) if not _covered(path, listed)]
    if job and refused:
        return CLASSES.warning(
            f"{CLASS_ALLOW_LIST} of {name} is tighter than provisioned and rejects job {job.name}, "
            f"which names {', '.join(refused)}",
            f"to let this job run here, add these to {CLASS_ALLOW_LIST} in {edited}",
            data={"refused": refused},
        )
    return CLASSES.ok(f"{counted(len(listed), 'entry', 'entries')}, none wider than provisioned")


def _check_guards(resources: dict[str, Any], name: str, kind: SiteKind) -> SiteFinding:
    edited = editable(name)
    validator, component = job_validator(kind), guard(kind)
    if resources.get(APP_VALIDATOR) != validator:
        return JOBS.failed(
            f"{name} has no {APP_VALIDATOR} as provisioned: a job could be more than a recipe writes",
            f'set "{APP_VALIDATOR}": {json.dumps(validator)} in {edited}',
        )
    components = resources.get("components")
    listed = [_identity(one) for one in components] if isinstance(components, list) else []
    if _identity(component) not in listed:
        return JOBS.failed(
            f"{name} has no component {component['id']!r} as provisioned: other hospitals, accounts of this "
            "machine and the server could reach what FLARE leaves open",
            f'add {json.dumps(component)} to "components" in {edited}, as the first',
        )
    if any("Launcher" in str(path) for _, path in listed[: listed.index(_identity(component))]):
        return JOBS.failed(
            f"{name} has the component {component['id']!r} behind the one that starts jobs, which then get "
            "no secret from it",
            f'move {json.dumps(component)} to the front of "components" in {edited}',
        )
    return JOBS.ok(f"{name} has {APP_VALIDATOR} and the component {component['id']!r} as provisioned")


def _identity(component: Any) -> tuple[Any, Any]:
    return (component.get("id"), component.get("path")) if isinstance(component, dict) else (None, None)


def _covered(path: str, allowed: Sequence[str]) -> bool:
    """Whether FLARE lets a class path, or all that a prefix lets through, pass by one of the entries."""
    if path == ALLOW_ALL:
        return False
    return any(path == entry or path.startswith(f"{entry.rstrip('.')}.") for entry in allowed)


def check_scope(kit: Kit, job: SiteJob) -> tuple[SiteFinding, SiteSettings | None]:
    """Check that the job's privacy scope says where the data lies.

    Returns:
        The finding, and the settings if they can be used, with folders relative to the kit resolved.
    """
    if kit.kind == "server":
        return SCOPE.skipped("this is the server's kit: it has no patients"), None
    source = kit.local / WorkspaceConstants.PRIVACY_CONFIG
    try:
        settings = parse_site_settings(
            scope_properties(source, job.scope), source=source, root=kit.root.resolve()
        )
    except ConfigurationError as error:
        return (
            SCOPE.failed(
                f"{_PRIVACY} can't be used{f' for scope {job.scope!r}' if job.scope else ''}",
                f'in {_PRIVACY}, give the scope "properties": '
                '{"consilium": {"dataset": "/folder/with/cases"}}; docs/site.md lists what else can be set',
                details=[str(error)],
            ),
            None,
        )
    others = {name: one for name, one in _other_scopes(source, kit) if name != job.scope}
    if any(one.split_salt is not None for one in (settings, *others.values())):
        failure = SCOPE.failed(
            f"{_PRIVACY} has a split_salt: who knows it knows which patients this site validates on",
            f"remove split_salt from {_PRIVACY}; it is for simulations and tests, and without it the site "
            "draws a secret of its own",
        )
        return failure, settings
    looser = [name for name, one in others.items() if _asks_for_fewer(one, settings)]
    if looser:
        return SCOPE.warning(
            f"{_PRIVACY}: a job can choose the scope {', '.join(looser)}, which protects patients less than "
            "the scope of this job: lower minimums of patients, weaker privacy demands, other withdrawn "
            "patients, or a state_dir of its own",
            "give all scopes the same min_count, min_training_patients, min_update_patients, state_dir, "
            "privacy, hospital_noise and withdrawn_patients, or remove that scope, unless it is meant",
            data={"looser": looser},
        ), settings
    return SCOPE.ok(f"{_PRIVACY}: this site {settings.role}", data={"role": settings.role}), settings


def check_tasks(site: SiteSettings | None) -> SiteFinding:
    """Check the tasks that the site's policy lists; nothing of another package is imported.

    Args:
        site: What the hospital decides; None where that can't be read, or there is no hospital.
    """
    if site is None:
        return TASKS.skipped("no policy of a hospital is at hand")
    known = task_names()
    own = [name for name in known if is_built_in(name)]
    seen = f"of consilium: {', '.join(own)}; of other packages: {', '.join(_of_others(site)) or 'none'}"
    data = {"built_in": own, "listed": list(site.tasks)}
    if missing := [name for name in site.tasks if name not in known]:
        return TASKS.warning(
            f"{seen}; {_PRIVACY} lists {', '.join(missing)}, which no installed package provides",
            f"install the package that provides it, or remove it from tasks in {_PRIVACY}",
            data={**data, "missing": missing},
        )
    lost = [name for name, one in site.tasks.items() if one.dataset and not one.dataset.is_dir()]
    if lost:
        return TASKS.failed(
            f"{seen}; the dataset of {', '.join(lost)} is not a folder that this account can read",
            f"correct its dataset under tasks in {_PRIVACY}",
            details=[f"{name}: {site.tasks[name].dataset}" for name in lost],
            data={**data, "without_folder": lost},
        )
    return TASKS.ok(seen, data=data)


def _of_others(site: SiteSettings) -> list[str]:
    return [name for name in site.tasks if not is_built_in(name)]


def _other_scopes(source: Path, kit: Kit) -> Iterator[tuple[str, SiteSettings]]:
    """Yield every scope of a site that can be used, by its name."""
    for scope in kit.read_json(_PRIVACY).get("scopes", ()):
        name = scope.get("name") if isinstance(scope, dict) else None
        if isinstance(name, str):
            with suppress(ConfigurationError):  # no job can use it either
                yield (
                    name,
                    parse_site_settings(
                        scope_properties(source, name), source=source, root=kit.root.resolve()
                    ),
                )


def _asks_for_fewer(scope: SiteSettings, other: SiteSettings) -> bool:
    return (
        scope.min_count < other.min_count
        or scope.min_training_patients < other.min_training_patients
        or scope.update_minimum < other.update_minimum
        or scope.state_dir != other.state_dir
        or scope.privacy.is_looser_than(other.privacy)
        or scope.withdrawn_patients != other.withdrawn_patients
        or _hides_less(scope.hospital_noise, other.hospital_noise)
    )


def _hides_less(noise: HospitalNoise | None, other: HospitalNoise | None) -> bool:
    return other is not None and (noise is None or noise.is_looser_than(other))
