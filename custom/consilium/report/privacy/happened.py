"""What a job's record says of what left, after the fact."""

from __future__ import annotations

from collections.abc import Iterator

from consilium.counts import agree, count_text, counted
from consilium.learning.algorithms import withheld_by
from consilium.records.evaluation import EvaluationRecord, SiteEvaluation
from consilium.records.federation import FederationRecord, SiteReport
from consilium.records.job_record import JobRecord
from consilium.records.readiness import ReadinessRecord
from consilium.records.statistics import StatisticsRecord
from consilium.report.privacy.statement import StatementSection


def describe_record(record: JobRecord, site: str | None) -> StatementSection:
    """Return the section on what happened.

    Args:
        record: The job's; a server wrote it.
        site: The hospital whose part is described; None for none.
    """
    if isinstance(record, FederationRecord):
        sentences = _training(record, site)
    elif isinstance(record, EvaluationRecord):
        sentences = _evaluation(record, site)
    elif isinstance(record, StatisticsRecord):
        sentences = _statistics(record, site)
    else:
        sentences = _readiness(record, site)
    return StatementSection(
        key="happened", heading="What happened, by the record", sentences=tuple(sentences)
    )


def _training(record: FederationRecord, site: str | None) -> Iterator[str]:
    yield (
        f"The job is {record.status}: {len(record.rounds)} of {counted(record.rounds_planned, 'round')} "
        "counted."
    )
    trained = [
        {name for name, one in a_round.sites.items() if one.outcome == "trained"} for a_round in record.rounds
    ]
    if trained:
        fewest = min(len(sites) for sites in trained)
        senders = counted(len(set().union(*trained)), "hospital")
        yield (
            f"{senders} sent updates. The round with the fewest was made of "
            f"{counted(fewest, 'update')}: the fewer, the more the combined model says of each."
        )
    summed = [one.summed for one in record.rounds if one.summed is not None]
    if summed:
        smallest = counted(min(one.sites for one in summed), "hospital")
        yield f"Only sums of updates were opened: {counted(len(summed), 'sum')}, each of at least {smallest}."
        recovered = sum(one.recovered for one in summed)
        if recovered:
            yield (
                f"{counted(recovered, 'time')}, a hospital dropped out after it had sent its keys: shares "
                "that the others had of them removed its masks from the sum, and from no single update."
            )
    if site is None:
        return
    rounds = sum(site in sites for sites in trained)
    yield f"{site} sent an update in {counted(rounds, 'round')}."
    report = _last_report(record, site)
    if report is not None:
        tested = f"{count_text(report.test_patients)} test patients behind its scores"
        hidden = report.hospital_noise is not None
        withheld = hidden or withheld_by(record.settings.get("algorithm")).scores
        validated = "" if withheld else f"{count_text(report.validation_patients)} validation and "
        yield (
            f"It reported {_training_cases(report)}, {validated}{tested}, and "
            f"{report.bytes_sent / 1e6:.1f} MB sent."
        )
        if hidden:
            yield (
                f"Noise hid the hospital as a whole: {report.hospital_noise:.3g} times the norm that its "
                "updates were scaled down to. The unit is the hospital, not a patient."
            )
    if site in record.gains:
        yield "Its gain over the model that it trained alone left as well."


def _training_cases(report: SiteReport) -> str:
    if report.train_cases is None:
        return "no number of training cases, which is in sums only"
    return counted(report.train_cases, "training case")


def _last_report(record: FederationRecord, site: str) -> SiteReport | None:
    tasks = [record.final_sites, *(one.sites for one in reversed(record.rounds)), record.preparation]
    return next((one[site].report for one in tasks if site in one and one[site].report), None)


def _evaluation(record: EvaluationRecord, site: str | None) -> Iterator[str]:
    answered = {name for one in record.models.values() for name in one.sites}
    yield (
        f"The job is {record.status}: {counted(len(record.models), 'model')}, answers of "
        f"{counted(len(answered), 'hospital')}."
    )
    if site is None:
        return
    answers = [one.sites[site] for one in record.models.values() if site in one.sites]
    if not answers:
        yield f"{site} sent no answer."
        return
    first = answers[0]
    yield (
        f"{site} answered about {counted(len(answers), 'model')}, on "
        f"{counted(first.whole.patients, 'patient')} "
        f"of its {first.set} set, {_forms(answers)}. Its minimum was {first.min_count}; "
        f"{counted(max(one.earlier_models for one in answers), 'model')} had been evaluated on them before."
    )
    sent = sum(len(values) for one in answers[:1] for values in one.subgroups.values())
    if sent:
        yield f"Numbers of {counted(sent, 'subgroup')} left, with {agree(sent, 'its name', 'their names')}."


def _forms(answers: list[SiteEvaluation]) -> str:
    measures = [measure for one in answers for measure in one.whole.measures.values()]
    forms = ["means"]
    if any(one.interval for one in measures):
        forms.append("intervals")
    if any(one.counts for one in measures):
        forms.append("histograms")
    return " and ".join([", ".join(forms[:-1]), forms[-1]] if len(forms) > 1 else forms)


def _statistics(record: StatisticsRecord, site: str | None) -> Iterator[str]:
    yield f"The job is {record.status}: histograms of {counted(len(record.reporting), 'hospital')}."
    if site is not None and site in record.sites:
        answer = record.sites[site]
        features = sum(site in one.reported for one in record.features.values())
        yield (
            f"{site} sent {counted(features, 'histogram')} over {counted(answer.patients, 'patient')}; its "
            f"minimum was {answer.min_count}."
        )
    elif site is not None:
        yield f"{site} sent no statistics."


def _readiness(record: ReadinessRecord, site: str | None) -> Iterator[str]:
    yield f"{counted(len(record.sites), 'hospital')} answered the check."
    if site is not None and site in record.sites:
        answer = record.sites[site]
        yield (
            f"{site} reported {counted(answer.usable_cases, 'usable case')} of "
            f"{counted(answer.usable_patients, 'patient')}."
        )
    elif site is not None:
        yield f"{site} sent no answer."
