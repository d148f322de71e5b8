"""Sections of the officer's page, with the headings of NIST SP 800-226."""

from __future__ import annotations

from collections.abc import Iterator

from consilium.counts import counted
from consilium.report.privacy.attacks import describe_attacks, measured_attacks
from consilium.report.privacy.budget import describe_budget
from consilium.report.privacy.facts import (
    EvaluationFacts,
    JobFacts,
    SiteFacts,
    StatisticsFacts,
    TrainingFacts,
)
from consilium.report.privacy.hospital_unit import describe_hospital_guarantee
from consilium.report.privacy.protection import describe_aggregation, describe_guarantee
from consilium.report.privacy.statement import StatementSection


def build_sections(job: JobFacts, site: SiteFacts) -> tuple[StatementSection, ...]:
    """Return the sections in the order of the page.

    Args:
        job: The job.
        site: What the hospital decides.
    """
    listed = (
        ("unit", "Unit of privacy", _unit(site)),
        ("epsilon", "Epsilon and delta", _guarantees(job, site)),
        ("budget", "What the hospital demands, and what its patients have spent", describe_budget(job, site)),
        ("trust", "Trust model: who could learn what", _trust(job)),
        ("aggregation", "Secure aggregation", describe_aggregation(job, site)),
        ("attacks", "Results of attacks at settings like these", _attacks(job, site)),
        ("side_channels", "Implementation and side channels", _side_channels(job)),
        ("access", "Security and access control", _access(site)),
        ("exposure", "Data collection exposure", _exposure(job, site)),
    )
    return tuple(
        StatementSection(key=key, heading=heading, sentences=tuple(sentences))
        for key, heading, sentences in listed
    )


def _guarantees(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    yield from describe_guarantee(job)
    yield from describe_hospital_guarantee(job, site)


def _unit(site: SiteFacts) -> Iterator[str]:
    yield (
        "The patient: all examinations of one patient count as one, by the hospital's list or by the ids of "
        "cases. Minimums and groups are of patients."
    )
    if site.is_known:
        yield (
            f"Minimums of {site.name}: {counted(site.min_update_patients, 'patient')} behind updates "
            f"(min_update_patients), {counted(site.min_training_patients, 'patient')} behind losses and "
            f"scores (min_training_patients), {counted(site.min_count, 'patient')} behind counts "
            "(min_count). No job can lower them."
        )
    else:
        yield (
            f"Minimums unless a hospital sets others: {site.min_training_patients} behind updates, losses "
            "and "
            f"scores (min_training_patients), {site.min_count} behind counts (min_count). No job can lower a "
            "hospital's. This page shows the defaults; with the option --kit it shows a hospital's own."
        )


def _trust(job: JobFacts) -> Iterator[str]:
    kind = job.of_kind
    if isinstance(kind, TrainingFacts):
        seen = "the update, scores and counts" if kind.promise.server_sees_updates else "scores and counts"
        yield (
            f"The server's operator is trusted with {seen} of each single hospital, and so is a user with "
            "the "
            "right to read the server's files (project admin, lead of its organization)."
        )
        if kind.promise.hospitals_see_updates:
            yield (
                "The other hospitals of the job are trusted with each single update of one that allows it "
                "(updates_to_hospitals); one of them that colludes with the server's operator may see all."
            )
        yield _colluding(kind)
        yield "Anybody who has the final model can query it without limit."
    else:
        yield (
            "The server's operator, users who may download the result, and readers of its report are trusted "
            "with each hospital's means, counts and histograms."
        )
        yield "Other hospitals' sites receive nothing of it; their people see what the project's users see."
    if isinstance(kind, EvaluationFacts):
        yield "The submitter chooses the models, and is trusted to have made none to single out a patient."
    yield (
        "Other hospitals and the server are otherwise treated as strangers: each site checks every job and "
        "message by itself, and answers nothing that is not listed above."
    )


def _colluding(kind: TrainingFacts) -> str:
    if kind.promise.single_update:
        return (
            "A round is one hospital's turn: the model that all others receive after it differs from the one "
            "before by this hospital's update alone, so each of them has that update by subtraction."
        )
    if kind.min_sites == 1:
        return (
            "A round counts with a single hospital: the combined model that the others receive can then "
            "differ "
            "from the one before by this hospital's update alone."
        )
    if kind.min_sites == 2:
        return (
            "A round counts with two hospitals: each of the two can subtract its own update from the "
            "combined "
            "one, and has the other's up to its weight."
        )
    return (
        f"A round counts with {counted(kind.min_sites, 'hospital')}: all of them but one together can "
        "subtract their updates from the combined one, and have the last one's up to its weight."
    )


def _attacks(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    kind = job.of_kind
    if isinstance(kind, TrainingFacts):
        yield from describe_attacks(kind, site, measured_attacks())
    else:
        yield "This job sends no update, so there is none to reconstruct an image from."


def _side_channels(job: JobFacts) -> Iterator[str]:
    yield (
        "Anybody who observes a hospital's connection sees when it takes part, for how long, and how many "
        "bytes it "
        "sends."
    )
    if isinstance(job.of_kind, TrainingFacts):
        settings = ", ".join(
            f"{name} {value}" for name, value in job.of_kind.algorithm.items() if value is not None
        )
        yield f"Algorithm and its settings: {settings}."
        yield (
            "Times and bytes are reported exactly, and so is the number of training cases: it reveals that "
            "patients were added or removed."
        )
        yield _draws(job.of_kind)
    else:
        yield "Times and bytes are reported exactly; they depend on the number and size of the cases."
    yield (
        "Groups of patients are formed with the hospital's secret key and stay the same, so that repeated "
        "questions are answered about the same patients."
    )


def _draws(kind: TrainingFacts) -> str:
    if kind.promise.epsilon is not None:
        return (
            "Patients and noise are drawn by the operating system's cryptographic generator, again in every "
            "attempt at a round."
        )
    return (
        "Which patients and samples a round uses is drawn with a secret key of the hospital, separately for "
        "each job and set of patients; no setting of a job determines it."
    )


def _access(site: SiteFacts) -> Iterator[str]:
    yield (
        "Mutual TLS; a hospital accepts no connection and opens one to the server's port. Jobs hold no code: "
        "each site accepts only what one of Consilium's recipes writes, signed by a user with the right to "
        "submit."
    )
    yield (
        "Download of a result: project admin, lead of the job, and the admin of the submitter's "
        "organization. "
        "States, scores and errors: every user of the project. No user can read a hospital's files."
    )
    if site.filters:
        yield f"Filters of the hospital's own, which change what leaves: {', '.join(site.filters)}."
    elif site.is_known:
        yield "The hospital has no filter of its own for what leaves."
    if site.scope:
        yield f"The job runs in the hospital's privacy scope “{site.scope}”."


def _exposure(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    yield (
        "Cases stay in the hospital's folder, which is only ever read. Prepared copies are in the site's "
        "cache "
        "folder, the register of patients in its state folder; both are readable by the site's account only."
    )
    kind = job.of_kind
    if isinstance(kind, TrainingFacts) and site.role == "trains":
        yield "All usable labeled training patients of the hospital are used; none is chosen by the job."
        if kind.starts_trained:
            yield (
                "The job starts from a trained model, and whom that was trained on is outside of this page."
            )
        if kind.resumes:
            yield "It resumes an interrupted job, whose rounds before that had a page of their own."
        if kind.min_ready is not None:
            yield (
                f"It starts only if a recent readiness check, a job with a page of its own, found "
                f"{counted(kind.min_ready, 'hospital')} ready."
            )
    elif isinstance(kind, StatisticsFacts):
        yield "All usable patients of the hospital are used; none is chosen by the job."
    yield (
        "Whether these data may be used for this purpose, on which legal basis, and how patients are "
        "informed "
        "or object, is outside of the software."
    )
