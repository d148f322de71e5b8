"""The tables that compare models: what stands in them and which number is best."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from consilium.counts import counted
from consilium.report.training.study import Comparison, Scores, SiteSummary, StudyReport


@dataclass(frozen=True)
class Cell:
    """One number of a table; `best` marks the best of its group, unless all are the same."""

    value: float | None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One model: its cells by column, and how far the federation's model is ahead of it in mean Dice."""

    model: str
    dice: tuple[Cell, ...]
    hd95: tuple[Cell, ...]
    lead: float | None


@dataclass(frozen=True)
class Group:
    """The models that were judged on the same patients."""

    title: str
    cases: int | None
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MatrixRow:
    """One model, judged at every hospital; `home` is where it was trained, if at one hospital alone."""

    model: str
    home: str | None
    dice: Mapping[str, float | None]


def compare_models(report: StudyReport) -> list[Group]:
    """Return the means over hospitals, then each hospital; a model that was not judged has no row.

    The columns of a row are the mean and then each region, in the order of `report.regions`.
    """
    judged = {name: site for name, site in report.sites.items() if site.global_ or site.local or site.pooled}
    groups = [_group(name, site.validation_cases, site, report) for name, site in judged.items()]
    if len(groups) > 1:
        cases = sum(site.validation_cases or 0 for site in judged.values())
        groups.insert(
            0, _group(f"Mean over {counted(len(groups), 'hospital')}", cases, report.summary, report)
        )
    return groups


def cross_sites(report: StudyReport) -> list[MatrixRow]:
    """Return every local-only model's mean Dice at every hospital, then the pooled and the global model's.

    There is nothing to return where models never left their hospitals, as in a real federation.
    """
    rows = [
        MatrixRow(trained, trained, {site: _dice(judges.get(site)) for site in report.sites})
        for trained, judges in report.local_models.items()
    ]
    if rows:
        pooled = {name: _dice(site.pooled) for name, site in report.sites.items()}
        federated = {name: _dice(site.global_) for name, site in report.sites.items()}
        rows += [MatrixRow("Pooled", None, pooled), MatrixRow("Federated", None, federated)]
    return rows


def _group(title: str, cases: int | None, scores: Comparison, report: StudyReport) -> Group:
    models = {"Federated": scores.global_}
    if isinstance(scores, SiteSummary):
        models["Local-only, own"] = scores.own
    models |= {"Local-only, mean": scores.local, "Pooled": scores.pooled}
    judged = {model: one for model, one in models.items() if one}
    suffixes = ["", *(f"_{region}" for region in report.regions)]
    dice = [_column(judged.values(), f"dice{suffix}", 3, highest=True) for suffix in suffixes]
    hd95 = [_column(judged.values(), f"hd95{suffix}", 1, highest=False) for suffix in suffixes]
    rows = []
    for place, (model, one) in enumerate(judged.items()):
        reference = None if one is scores.global_ else scores.global_
        rows.append(
            Row(
                model=model,
                dice=tuple(column[place] for column in dice),
                hd95=tuple(column[place] for column in hd95),
                lead=reference["dice"] - one["dice"] if reference else None,
            )
        )
    return Group(title, cases, tuple(rows))


def _column(models: Collection[Scores], score: str, digits: int, *, highest: bool) -> list[Cell]:
    """One score of every model; those that are best at the digits shown are marked, unless all are."""
    values = [one.get(score) for one in models]
    shown = [round(value, digits) for value in values if value is not None]
    best = (max if highest else min)(shown) if len(set(shown)) > 1 else None
    return [Cell(value, value is not None and round(value, digits) == best) for value in values]


def _dice(scores: Scores | None) -> float | None:
    return None if scores is None else scores["dice"]
