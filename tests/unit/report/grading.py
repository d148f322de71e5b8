"""Tasks with other metrics: grades by quadratic kappa of a confusion matrix, and ages by their error."""

from collections.abc import Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from consilium.records.federation import BaselineRecord, FederationRecord, RoundRecord
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Metric, MetricSet, Scores
from report.study import CASES, TRAINING, VERSIONS, site_report, site_round

GRADES = range(3)


def cell(true: int, found: int) -> str:
    return f"confusion_{true}_{found}"


class GradingEvaluation(Evaluation):
    """Grades 0 to 2, one a patient: counts add up, accuracy and kappa follow from them."""

    @cached_property
    def metrics(self) -> MetricSet:
        counts = [
            Metric(name=cell(true, found), title="Confusion", high=1e6, combines="sum", table="confusion")
            for true in GRADES
            for found in GRADES
        ]
        kappa = Metric(name="kappa", title="Kappa", low=-1, combines="derived", digits=2)
        accuracy = Metric(name="accuracy", title="Accuracy", combines="derived")
        return MetricSet(metrics=(kappa, accuracy, *counts), key="kappa", gained=("kappa", "accuracy"))

    def reference(self, case: Any) -> Any:
        raise NotImplementedError

    def score(self, prediction: Any, case: Any, *, final: bool) -> Scores:
        raise NotImplementedError

    def derive(self, scores: Mapping[str, float]) -> Scores:
        counts = {(true, found): scores.get(cell(true, found), 0.0) for true in GRADES for found in GRADES}
        total = sum(counts.values())
        if not total:
            return {}
        rows = [sum(counts[true, found] for found in GRADES) for true in GRADES]
        columns = [sum(counts[true, found] for true in GRADES) for found in GRADES]
        seen = sum((true - found) ** 2 * count for (true, found), count in counts.items())
        expected = sum((true - found) ** 2 * rows[true] * columns[found] / total for true, found in counts)
        kappa = 1 - seen / expected if expected else 1.0
        return {"kappa": kappa, "accuracy": sum(counts[grade, grade] for grade in GRADES) / total}


GRADING = GradingEvaluation()


class AgeEvaluation(GradingEvaluation):
    """Years that a predicted age is off: lower is better."""

    @cached_property
    def metrics(self) -> MetricSet:
        error = Metric(name="error", title="Error", high=100, unit="years", digits=1, higher_is_better=False)
        return MetricSet(metrics=(error,), key="error", gained=("error",))

    def derive(self, scores: Mapping[str, float]) -> Scores:
        return {}


AGES = AgeEvaluation()


def task(evaluation: Evaluation) -> Any:
    """A task that has nothing but an evaluation."""
    return SimpleNamespace(name="toy", title="Toy grading", evaluation=evaluation, presentation=None)


def graded(right: int, off_by_one: int, patients: int) -> Scores:
    """Scores of a site: so many grades right and so many one too high, the others two off."""
    counts = {cell(true, found): 0.0 for true in GRADES for found in GRADES}
    for index in range(patients):
        true = index % 2
        found = true if index < right else true + 1 if index < right + off_by_one else 2 - 2 * true
        counts[cell(true, found)] += 1
    return GRADING.complete(counts)


def record(
    evaluation: Evaluation, by_round: list[dict[str, Scores]], final: dict[str, Scores], **changes: Any
) -> FederationRecord:
    """A job of this task, with the scores of each round's model."""
    last = {site: site_round(site, steps=0, loss=None) for site in CASES}
    for one in last.values():
        one.outcome = "evaluated"
    values: dict[str, Any] = {
        "job": "toy_fedavg",
        "task": "toy",
        "title": "Toy grading",
        "metrics": evaluation.metrics,
        "status": "finished",
        "rounds_planned": len(by_round),
        "settings": {"rounds": len(by_round), "learning": {"task": "toy", "seed": 7}},
        "rounds": [
            RoundRecord(
                number=index + 1, seconds=2.0, sites={site: site_round(site) for site in CASES}, scores=scores
            )
            for index, scores in enumerate(by_round)
        ],
        "final_scores": final,
        "final_sites": last,
        "versions": VERSIONS,
    }
    return FederationRecord.model_validate(values | changes)


def alone(
    local: Mapping[str, Scores], gains: Mapping[str, Any], pooled: Mapping[str, Scores]
) -> BaselineRecord:
    """Local-only models, evaluated at home only, and a pooled one."""
    return BaselineRecord(
        local_steps=10,
        pooled_steps=10,
        local={site: {site: local[site]} for site in TRAINING},
        pooled=dict(pooled),
        gains=dict(gains),
        local_seconds=1.0,
        pooled_seconds=1.0,
    )


__all__ = ["AGES", "GRADING", "alone", "cell", "graded", "record", "site_report", "task"]
