"""What leaves about images that a hospital doesn't acquire, and about targets that its labels lack."""

from __future__ import annotations

from consilium.report.privacy.facts import (
    EvaluationFacts,
    KindFacts,
    ReadinessFacts,
    SiteFacts,
    StatisticsFacts,
    TrainingFacts,
)
from consilium.report.privacy.flow_list import RESULT, FlowList


def declines_for_targets(flows: FlowList, kind: KindFacts, site: SiteFacts) -> bool:
    """Add that a hospital declines a job because its labels lack targets, and return whether it does.

    Args:
        flows: Where to.
        kind: What the job asks.
        site: What the hospital decides.
    """
    if not site.missing_targets:
        return False
    if isinstance(kind, EvaluationFacts):
        needed = "models are compared by all targets"
    elif isinstance(kind, TrainingFacts) and kind.sums_reports:
        needed = "the sums of secure aggregation are of hospitals that have all targets"
    else:
        return False
    lacking = " and ".join(site.missing_targets)
    flows.hold_back(
        "anything about a patient: the hospital declines this job",
        f"its labels lack {lacking} (missing_targets), and {needed}",
    )
    return True


def add_what_is_lacking(flows: FlowList, kind: KindFacts, site: SiteFacts) -> None:
    """Add what leaves about the images and targets that a hospital lacks, where it takes part.

    Args:
        flows: Where to.
        kind: What the job asks.
        site: What the hospital decides.
    """
    targets, images = " and ".join(site.missing_targets), " and no ".join(site.missing_inputs)
    if targets and isinstance(kind, TrainingFacts | ReadinessFacts):
        others = "; loss and scores are of the others" if isinstance(kind, TrainingFacts) else ""
        flows.add(
            "missing_targets",
            f"That the hospital's labels lack {targets}{others}",
            "how the hospital labels; no single patient",
            "",
            users=RESULT,
        )
    if targets and isinstance(kind, StatisticsFacts):
        flows.hold_back(f"histograms of {targets}", "its labels lack that (missing_targets)")
    if images and not isinstance(kind, StatisticsFacts):
        flows.add(
            "missing_inputs",
            f"That the hospital acquires no {images}, in its reason to decline a job whose model needs that",
            "how the hospital acquires images; no single patient",
            "",
            users="every user of the project",
        )
