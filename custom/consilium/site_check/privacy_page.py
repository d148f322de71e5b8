"""The officer's page of a job: from its files or its record, and from a hospital's kit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.logging.constants import ALLOW_LOG_STREAMING_VAR

from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import listed_tasks, parse_site_settings, scope_properties
from consilium.federation.versions import component_versions
from consilium.participant.ledger_summary import summarize_hospital
from consilium.participant.register_files import read_register
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.ledger import HEADS_FILE, LEDGER_FILE, PrivacyLedger
from consilium.privacy.spending import group_patients, hospital_mechanisms, largest_epsilon
from consilium.provisioning.kit import Kit
from consilium.recipes.base import APP, META, SERVER_CONFIG, JobRecipe
from consilium.recipes.exported_job import read_recipe
from consilium.recipes.job_folder import resolve_job
from consilium.recipes.privacy_facts import facts_of_recipe, facts_of_record
from consilium.recipes.strict_json import parse_json
from consilium.records.job_record import JobRecord, load_record
from consilium.report.privacy.build import state_privacy
from consilium.report.privacy.facts import (
    AggregationFacts,
    BudgetFacts,
    JobFacts,
    SiteFacts,
    TrainingFacts,
)
from consilium.report.privacy.happened import describe_record
from consilium.report.privacy.statement import PrivacyStatement
from consilium.secagg.peers import PEERS_FILE, PinnedPeers
from consilium.tasks.registry import get_task, only_listed_tasks


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


def describe_privacy(job: str, kit: Kit | None = None, *, patients: int | None = None) -> PrivacyStatement:
    """Return the officer's page of a job as data.

    Args:
        job: A name of `consilium jobs list`, the folder of an exported job, or a job's downloaded result.
        kit: The hospital's, whose settings then count. Nothing of it is changed.
        patients: Its training patients, from which a job's noise follows; None if not known.

    Raises:
        ConfigurationError: If there is no such job, it can't be used, or the kit is no hospital's or has no
            usable settings, or, in a job with secure aggregation, its list of pinned hospitals can't be used.
        SiteRefusal: See `read_site_facts`.
        DataError: See `read_site_facts`.
    """
    listed = None if kit is None else listed_tasks(kit.local / WorkspaceConstants.PRIVACY_CONFIG)
    with nullcontext() if listed is None else only_listed_tasks(listed):
        found = _find_job(job, patients)
        site = SiteFacts() if kit is None else read_site_facts(kit, found.facts.task, found.scope)
        if kit is not None and site.role == "trains" and _is_masked(found.facts):
            site = replace(site, aggregation=read_aggregation(kit))
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
        SiteRefusal: If the task is of another package and the hospital has not listed it, or its ledger can't
            be trusted or read.
        DataError: If the site's secret, which verifies the ledger, can't be read.
    """
    if kit.kind == "server":
        raise ConfigurationError(
            f"{kit.root} is the server's kit, which has no patients; --kit takes a hospital's"
        )
    source = kit.local / WorkspaceConstants.PRIVACY_CONFIG
    properties = scope_properties(source, scope)
    settings = parse_site_settings(properties, source=source, root=kit.root.resolve())
    own = settings.for_task(task)
    resources = kit.read_json(kit.policy_file(WorkspaceConstants.RESOURCES_CONFIG) or "local/resources.json")
    return SiteFacts.of(
        own,
        get_task(task),
        name=kit.site_name,
        scope=scope,
        filters=tuple(_filters(parse_json(source.read_bytes()), scope)),
        streams_logs=resources.get(ALLOW_LOG_STREAMING_VAR, True) is not False,
        budget=read_budget(own),
    )


def read_budget(site: SiteSettings) -> BudgetFacts | None:
    """Return what a hospital's ledger says; None where no job has paid yet.

    Args:
        site: What the hospital decides about the job's task, with its folders resolved.

    Raises:
        SiteRefusal: If the ledger can't be trusted or read.
        DataError: If the site's secret, which verifies it, can't be read.
    """
    if not any((site.state_dir / name).exists() for name in (LEDGER_FILE, HEADS_FILE)):
        return None
    content = PrivacyLedger(site.state_dir, read_register(site).ledger_key).read()
    entries = content.of_unit("patient")
    noised = [one for one in entries if one.mechanisms]
    hospital = summarize_hospital(content, site)
    return BudgetFacts(
        jobs=len({one.run for one in noised}),
        payments=len(noised),
        spent=largest_epsilon(group_patients(content), site.privacy.delta),
        head=content.head,
        jobs_without_noise=len({one.run for one in entries if not one.mechanisms}),
        hospital_spent=None if hospital is None else hospital.epsilon,
        hospital_releases=hospital_mechanisms(content),
    )


def read_aggregation(kit: Kit) -> AggregationFacts:
    """Return what a hospital demands of the sums of secure aggregation; without a file, of nobody pinned.

    Args:
        kit: The hospital's.

    Raises:
        ConfigurationError: If its list of pinned hospitals can't be used.
    """
    pinned = PinnedPeers.read(kit.local / PEERS_FILE)
    peers = len(pinned.fingerprints.keys() - {kit.site_name})
    policy = pinned.policy
    return AggregationFacts(
        peers=peers,
        fewest=policy.fewest,
        threshold=policy.threshold(peers + 1),
        honest=policy.fewest_honest,
    )


def _is_masked(job: JobFacts) -> bool:
    return isinstance(job.of_kind, TrainingFacts) and job.of_kind.promise.secure_aggregation


def _filters(policy: Any, scope: str | None) -> list[str]:
    """Classes of the scope's filters of results; `scope_properties` has checked the form around them."""
    wanted = scope or policy.get("default_scope")
    entries = next(one for one in policy["scopes"] if one.get("name") == wanted).get("task_result_filters")
    listed = entries if isinstance(entries, list) else []
    return [str(one["path"]) for one in listed if isinstance(one, Mapping) and "path" in one]


def _find_job(name_or_folder: str, patients: int | None) -> DescribedJob:
    folder = resolve_job(name_or_folder)
    if isinstance(folder, JobRecipe):
        return DescribedJob(facts_of_recipe(folder, patients=patients))
    if (folder / APP / SERVER_CONFIG).is_file():
        recipe = read_recipe(folder)
        meta = parse_json((folder / META).read_bytes())
        facts = facts_of_recipe(recipe, patients=patients)
        return DescribedJob(facts, meta.get(JobMetaKey.SCOPE.value) or None)
    record = load_record(folder)
    return DescribedJob(facts_of_record(record), record=record)
