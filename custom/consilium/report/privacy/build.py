"""Composition of the officer's page from what a job asks and what a hospital decides."""

from __future__ import annotations

from collections.abc import Iterator

from consilium.counts import counted
from consilium.report.privacy.attacks import AttackResult, attacks_like, measured_attacks
from consilium.report.privacy.facts import (
    BudgetFacts,
    EvaluationFacts,
    JobFacts,
    SiteFacts,
    StatisticsFacts,
    TrainingFacts,
)
from consilium.report.privacy.flows import list_flows
from consilium.report.privacy.hospital_unit import hospital_protection
from consilium.report.privacy.limits import not_covered
from consilium.report.privacy.references import REFERENCES
from consilium.report.privacy.sections import build_sections
from consilium.report.privacy.statement import (
    OfferedProtection,
    PrivacyStatement,
    SpentBudget,
    StatementSection,
)
from consilium.report.privacy.training_flows import combination, samples_of_round


def state_privacy(
    job: JobFacts,
    site: SiteFacts,
    *,
    version: str,
    happened: StatementSection | None = None,
) -> PrivacyStatement:
    """Return the officer's page of a job as data.

    Args:
        job: What the job asks.
        site: What the hospital decides.
        version: Consilium's.
        happened: What its record says afterwards; None before.
    """
    flows, not_sent = list_flows(job, site)
    sections = build_sections(job, site)
    return PrivacyStatement(
        job=job.name,
        kind=_kind(job),
        task=job.task,
        title=job.title,
        source=job.source,
        site=site.name,
        consilium=version,
        summary=tuple(_summary(job, site)),
        protection=_protection(job),
        hospital=hospital_protection(job, site),
        budget=_budget(site),
        attacks=_attacks(job, site),
        flows=flows,
        not_sent=not_sent,
        stays=tuple(_stays(job, site)),
        sections=(happened, *sections) if happened else sections,
        not_covered=tuple(not_covered(job)),
        references=REFERENCES,
    )


def _protection(job: JobFacts) -> OfferedProtection:
    if not isinstance(job.of_kind, TrainingFacts):
        return OfferedProtection()
    return OfferedProtection.of(job.of_kind.promise)


def _budget(site: SiteFacts) -> SpentBudget | None:
    if not site.is_known:
        return None
    paid = site.budget or BudgetFacts(jobs=0, payments=0, spent=0.0, head="")
    return SpentBudget(
        allowed=site.demand.epsilon,
        delta=site.demand.delta,
        spent=paid.spent,
        jobs=paid.jobs,
        head=paid.head,
        jobs_without_noise=paid.jobs_without_noise,
    )


def _attacks(job: JobFacts, site: SiteFacts) -> tuple[AttackResult, ...]:
    kind = job.of_kind
    return attacks_like(kind, site, measured_attacks()) if isinstance(kind, TrainingFacts) else ()


def _kind(job: JobFacts) -> str:
    if isinstance(job.of_kind, TrainingFacts):
        return "training"
    if isinstance(job.of_kind, EvaluationFacts):
        return "evaluation"
    return "statistics" if isinstance(job.of_kind, StatisticsFacts) else "readiness"


def _summary(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    kind = job.of_kind
    title = f"{job.title[:1].lower()}{job.title[1:]}" if not job.title[:2].isupper() else job.title
    if isinstance(kind, TrainingFacts):
        alone = kind.promise.single_update
        whom = "one after the other, a round each" if alone else "in a round at each"
        made = (
            "which adds it to the model"
            if alone
            else f"which makes one model of the {combination(kind)} of at least "
            f"{counted(kind.min_sites, 'hospital')}"
        )
        yield (
            f"In {counted(kind.rounds, 'round')}, hospitals train one model for {title} on their own "
            f"patients ({whom}: {samples_of_round(kind)}); each sends the change of the model's weights to "
            f"the server, {made} and sends it to all."
        )
        yield (
            "Images, labels and ids stay at each hospital, but the changes and the model are computed from "
            "them."
            if site.role == "trains"
            else "This hospital only evaluates the models: it sends scores, and no change of a model."
        )
        return
    if isinstance(kind, EvaluationFacts):
        models = counted(len(kind.models), "model") if kind.models else "the same models"
        yield (
            f"Every hospital measures {models} for {title} on its own labeled patients, and sends "
            "means, intervals and counts of patients; nothing is trained."
        )
    elif isinstance(kind, StatisticsFacts):
        yield (
            f"Every hospital sends histograms over its own patients for {title}, in bins that are the same "
            "everywhere; nothing is trained."
        )
    else:
        yield (
            f"Every hospital checks whether its own cases could be used to train a model for {title}, and "
            "sends counts and codes; nothing is trained."
        )
    yield "Images, labels and ids stay at each hospital; what leaves is about the numbers of patients below."


def _stays(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    yield "Images and labels, and every array made from them."
    yield "Ids of patients and cases, names of files and folders, lists of patients, dates."
    yield (
        "The key by which patients are assigned to sets and samples are drawn, and the site's register of "
        "patients."
    )
    if site.streams_logs:
        yield (
            "Not the log files: local/resources.json lets a job stream them to the server, and they name "
            "cases "
            "and folders. “consilium check-site” fails on this."
        )
    else:
        yield "Log files, which name cases and folders" + (
            "."
            if site.streams_logs is False
            else ", unless the hospital's resources.json allows to stream them."
        )
    kind = job.of_kind
    if isinstance(kind, TrainingFacts):
        if kind.local_only:
            yield "A model that the hospital trains alone, and its loss: only its scores leave."
        if kind.keeps_weights:
            yield "The weights that the job's algorithm keeps at each site."
    if isinstance(kind, EvaluationFacts):
        yield "Values of single patients, and histograms of subgroups."
        if kind.local_only:
            yield "The hospital's own model, its file's name and its hash: only its scores leave."
