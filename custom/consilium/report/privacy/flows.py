"""What a job of any kind has a hospital send: one entry for each thing that leaves."""

from __future__ import annotations

from typing import Final

from consilium.counts import counted
from consilium.records.score_intervals import FEW_AT_A_BOUND
from consilium.report.privacy.facts import (
    EvaluationFacts,
    JobFacts,
    SiteFacts,
    StatisticsFacts,
    TrainingFacts,
)
from consilium.report.privacy.flow_list import (
    GROUPED,
    RESULT,
    FlowList,
    patients,
)
from consilium.report.privacy.lacking import add_what_is_lacking, declines_for_targets
from consilium.report.privacy.statement import DataFlow, NotSent
from consilium.report.privacy.training_flows import add_training_flows

_MACHINE: Final = "Versions, seconds, and bytes sent and received"


def list_flows(job: JobFacts, site: SiteFacts) -> tuple[tuple[DataFlow, ...], tuple[NotSent, ...]]:
    """Return what leaves a hospital in a job, and what the job asks for that this hospital doesn't send.

    Args:
        job: The job.
        site: What the hospital decides.
    """
    flows = FlowList()
    kind = job.of_kind
    minimum = site.min_count
    if declines_for_targets(flows, kind, site):
        _add_progress(flows, "", _MACHINE)
        return flows.done()
    if isinstance(kind, TrainingFacts):
        add_training_flows(flows, job, kind, site)
        done, machine = "training steps done" if site.role == "trains" else "cases evaluated", _MACHINE
    elif isinstance(kind, EvaluationFacts):
        _add_evaluation(flows, job, kind, site)
        done, machine = "cases evaluated", _MACHINE
    elif isinstance(kind, StatisticsFacts):
        minimum = max(kind.min_count, minimum)
        _add_statistics(flows, kind, minimum)
        done, machine = "", "Versions"
    else:
        _add_readiness(flows, site, minimum)
        done, machine = "", "Versions, processors, memory, GPUs and free disk"
    add_what_is_lacking(flows, kind, site)
    flows.add_grouped_count(
        "left_out", "Numbers of cases left out, by code", "the patients of these cases", minimum
    )
    _add_progress(flows, done, machine)
    return flows.done()


def _add_evaluation(flows: FlowList, job: JobFacts, kind: EvaluationFacts, site: SiteFacts) -> None:
    if site.max_evaluated_models == 0:
        flows.hold_back(
            "answers about models", "the hospital allows no evaluation (max_evaluated_models is 0)"
        )
        return
    asked = kind.min_patients or 1
    minimum = max(site.count_minimum, asked)
    means = max(site.score_minimum(has_counts=job.has_counts), asked)
    whom = (
        "its test patients; without any, its validation patients"
        if site.role == "trains"
        else "all of its patients on whom no job trained"
    )
    models = counted(len(kind.models), "model") if kind.models else "each model"
    flows.add(
        "scores",
        f"Means of every measure of {models} ({', '.join(job.metrics)} and more)",
        whom,
        f"{patients(means)}; with fewer the hospital declines",
        users=RESULT,
        protection=GROUPED,
    )
    flows.add(
        "histograms",
        "Histograms of every measure, in public bins that are each empty or of enough patients",
        whom,
        f"{patients(minimum)} in a bin; with fewer in all, means alone",
        users=RESULT,
        protection=GROUPED,
    )
    flows.add_intervals("means", whom, minimum + FEW_AT_A_BOUND)
    if job.has_counts:
        flows.add_cells(whom, f"{patients(minimum)} in all; with fewer nothing is sent")
    _add_subgroups(flows, site, minimum)
    _add_own_model(flows, kind, site, minimum)
    flows.add(
        "earlier_models",
        "How many models were evaluated on its test patients before",
        "no patient",
        "",
        users=RESULT,
    )


def _add_subgroups(flows: FlowList, site: SiteFacts, minimum: int) -> None:
    if site.is_known and not site.has_subgroups:
        flows.hold_back("scores of subgroups", "the hospital names no file of subgroups (subgroups_file)")
        return
    flows.add(
        "subgroups",
        "Means and intervals of subgroups, with the subgroups' names"
        + ("" if site.is_known else ", if the hospital names a file of subgroups"),
        "the patients of a subgroup",
        f"{patients(minimum)} in the subgroup, in the rest and in any combination; else withheld",
        users=RESULT,
        protection=GROUPED,
    )


def _add_own_model(flows: FlowList, kind: EvaluationFacts, site: SiteFacts, minimum: int) -> None:
    if not kind.local_only:
        return
    if site.is_known and not site.has_own_model:
        flows.hold_back(
            "scores of the hospital's own model, and gains over it",
            "the hospital names no model of its own (local_only_model)",
        )
        return
    flows.add(
        "gain",
        "Scores of the hospital's own model, and each model's mean gain over it"
        + ("" if site.is_known else ", if the hospital names a model of its own"),
        "the same patients",
        f"as the means; an interval of {patients(minimum + FEW_AT_A_BOUND)}",
        users=RESULT,
        protection=GROUPED,
    )


def _add_statistics(flows: FlowList, kind: StatisticsFacts, minimum: int) -> None:
    flows.add(
        "histograms",
        f"A histogram over patients of each feature ({', '.join(kind.features)}), in public bins",
        "the usable patients",
        f"{patients(minimum)}; with fewer empty. Values are means of so many patients",
        users=RESULT,
        protection="minimum, averages over groups that are the same in every job; no noise",
    )
    flows.add_grouped_count(
        "patients",
        "Numbers of patients and cases, and what label values mean",
        "the usable patients",
        minimum,
    )


def _add_readiness(flows: FlowList, site: SiteFacts, minimum: int) -> None:
    flows.add_grouped_count(
        "usable",
        "Numbers of usable cases and patients, median size of their images, layout, what label values mean",
        "the usable patients",
        minimum,
        few="“few” and no size",
    )
    flows.add_grouped_count("findings", "Findings in cases, by code", "the patients of these cases", minimum)
    flows.add(
        "ability",
        "What the hospital can do, why not, its minimum behind scores"
        + (", and what it demands of a job" if site.demand.stated else ""),
        "no single patient",
        "",
        users=RESULT,
    )


def _add_progress(flows: FlowList, done: str, machine: str) -> None:
    flows.add(
        "progress",
        f"Progress: what the site does at the moment{done and f', {done}'}, reasons without ids and paths",
        "the same patients as the answers",
        "as the answers; numbers of cases that are checked or prepared are not sent",
        users="every user of the project",
    )
    flows.add("machine", machine, "no patient", "", users=RESULT)
