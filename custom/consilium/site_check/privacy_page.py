"""The officer's page of a job: from its files or its record, and from a hospital's kit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.logging.constants import ALLOW_LOG_STREAMING_VAR

from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import listed_tasks, parse_site_settings, scope_properties
from consilium.federation.versions import component_versions
from consilium.provisioning.kit import Kit
from consilium.recipes.base import APP, META, SERVER_CONFIG
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import read_recipe
from consilium.recipes.privacy_facts import facts_of_recipe, facts_of_record
from consilium.recipes.strict_json import parse_json
from consilium.records.job_record import JobRecord, load_record
from consilium.report.privacy.build import state_privacy
from consilium.report.privacy.facts import JobFacts, SiteFacts
from consilium.report.privacy.happened import describe_record
from consilium.report.privacy.statement import PrivacyStatement
from consilium.tasks.registry import only_listed_tasks


@dataclass(frozen=True)
class DescribedJob:
    """A job whose page is made.

    Attributes:
        facts: What it asks.
        scope: The privacy scope that it runs in; None for each site's default.
        record: Its record; None before it ran.
    """

    facts: JobFacts
    scope: str | None = None
    record: JobRecord | None = None


def describe_privacy(job: str, kit: Kit | None = None) -> PrivacyStatement:
    """Return the officer's page of a job as data.

    Args:
        job: A name of `consilium jobs list`, the folder of an exported job, or a job's downloaded result.
        kit: The hospital's, whose settings then count. Nothing of it is changed.

    Raises:
        ConfigurationError: If there is no such job, it can't be used, or the kit is no hospital's or has no
            usable settings.
        SiteRefusal: If the job's task is of another package and the hospital has not listed it.
    """
    listed = None if kit is None else listed_tasks(kit.local / WorkspaceConstants.PRIVACY_CONFIG)
    with nullcontext() if listed is None else only_listed_tasks(listed):
        found = _find_job(job)
        site = SiteFacts() if kit is None else read_site_facts(kit, found.facts.task, found.scope)
        happened = None if found.record is None else describe_record(found.record, site.name)
        return state_privacy(found.facts, site, version=component_versions()["consilium"], happened=happened)


def read_site_facts(kit: Kit, task: str, scope: str | None) -> SiteFacts:
    """Return what a hospital decides about a job.

    Args:
        kit: The hospital's.
        task: The job's.
        scope: The privacy scope that the job names; None for the default one.

    Raises:
        ConfigurationError: If it is the server's kit, or its policy can't be used.
        SiteRefusal: If the task is of another package and the hospital has not listed it.
    """
    if kit.kind == "server":
        raise ConfigurationError(
            f"{kit.root} is the server's kit, which has no patients; --kit takes a hospital's"
        )
    source = kit.local / WorkspaceConstants.PRIVACY_CONFIG
    properties = scope_properties(source, scope)
    settings = parse_site_settings(properties, source=source, root=kit.root.resolve())
    resources = kit.read_json(kit.policy_file(WorkspaceConstants.RESOURCES_CONFIG) or "local/resources.json")
    return SiteFacts.of(
        settings.for_task(task),
        name=kit.site_name,
        scope=scope,
        filters=tuple(_filters(parse_json(source.read_bytes()), scope)),
        streams_logs=resources.get(ALLOW_LOG_STREAMING_VAR, True) is not False,
    )


def _filters(policy: Any, scope: str | None) -> list[str]:
    """Classes of the scope's filters of results; `scope_properties` has checked the form around them."""
    wanted = scope or policy.get("default_scope")
    entries = next(one for one in policy["scopes"] if one.get("name") == wanted).get("task_result_filters")
    listed = entries if isinstance(entries, list) else []
    return [str(one["path"]) for one in listed if isinstance(one, Mapping) and "path" in one]


def _find_job(name_or_folder: str) -> DescribedJob:
    folder = Path(name_or_folder).expanduser()
    if not folder.is_dir():
        return DescribedJob(facts_of_recipe(build_recipe(name_or_folder)))
    if (folder / APP / SERVER_CONFIG).is_file():
        recipe = read_recipe(folder)
        meta = parse_json((folder / META).read_bytes())
        return DescribedJob(facts_of_recipe(recipe), meta.get(JobMetaKey.SCOPE.value) or None)
    record = load_record(folder)
    return DescribedJob(facts_of_record(record), record=record)
