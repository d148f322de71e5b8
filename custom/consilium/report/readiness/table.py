"""The readiness check as tables, also for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from consilium.counts import count_text, counted
from consilium.records.readiness import (
    Grid,
    Hardware,
    ReadinessRecord,
    SiteReadiness,
    explain_withheld,
)
from consilium.records.texts import clean_text
from consilium.report.code_texts import ACCEPTED, LEFT_OUT, meaning, remedy
from consilium.report.terminal import folding_table

_NOTHING = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_SHORT = ("hospital", "cases", "labels", "found")


@dataclass(frozen=True)
class ReadinessRow:
    """One hospital.

    Attributes:
        site: Its name.
        can: `train`, `evaluate (own choice)`, `evaluate only`, `nothing` or `no answer`.
        usable_cases: Labeled cases without an error, and of how many patients where that is another number.
        images: Size of its images.
        labels: Their convention.
        machine: What a job may use there.
        demands: What it demands of a job for its patients' privacy, as far as it states that.
    """

    site: str
    can: str
    usable_cases: str = _NOTHING
    images: str = _NOTHING
    labels: str = _NOTHING
    machine: str = _NOTHING
    demands: str = _NOTHING


@dataclass(frozen=True)
class FindingRow:
    """One kind of finding at one hospital.

    Attributes:
        site: The hospital.
        count: Cases; `few` where the number never left the site.
        code: What was found.
        meaning: Whether the cases are used.
        remedy: What somebody at the hospital can do about it.
    """

    site: str
    count: str
    code: str
    meaning: str
    remedy: str


def site_rows(record: ReadinessRecord) -> list[ReadinessRow]:
    """Return a row for every hospital, by name."""
    return [_site_row(record, site) for site in sorted(record.sites.keys() | record.missing.keys())]


def finding_rows(record: ReadinessRecord) -> list[FindingRow]:
    """Return a row for every finding: by hospital, what cost cases first."""
    return [
        FindingRow(name, count_text(count), code, use_of_cases or meaning(code), remedy(code))
        for name, site in sorted(record.sites.items())
        for counts, use_of_cases in ((site.left_out, LEFT_OUT), (site.noted, ""), (site.accepted, ACCEPTED))
        for code, count in counts.items()
    ]


def terminal_tables(record: ReadinessRecord) -> Group:
    """Return tables for `rich`: the hospitals, and the findings in their cases."""
    sites = _table(
        ("hospital", "can", "cases", "labels", "images", "machine", "demands of a job"),
        [
            (row.site, row.can, row.usable_cases, row.labels, row.images, row.machine, row.demands)
            for row in site_rows(record)
        ],
    )
    findings = _table(
        ("hospital", "cases", "found", "they are", "what to do"),
        [(row.site, row.count, row.code, row.meaning, row.remedy) for row in finding_rows(record)],
    )
    return Group(sites, findings) if findings.row_count else Group(sites)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = folding_table(titles, unbroken=_SHORT)
    for row in rows:
        table.add_row(*(Text(clean_text(cell)) for cell in row))  # names and reasons come from elsewhere
    return table


def _site_row(record: ReadinessRecord, name: str) -> ReadinessRow:
    if name not in record.sites:
        return ReadinessRow(name, "no answer")
    site = record.sites[name]
    evaluate = f"evaluate {'(own choice)' if site.role == 'evaluates' else 'only'}"
    lacking = [name for name, has in (("validation", site.validates), ("test", site.tests)) if not has]
    train = f"train; no {' and no '.join(f'{name} set' for name in lacking)}" if lacking else "train"
    if site.withholds_scores:
        train = f"train; {explain_withheld(site)}"
    return ReadinessRow(
        site=name,
        can={"train": train, "evaluate": evaluate}.get(site.can, site.can),
        usable_cases=_describe_cases(site),
        images=_describe_grid(site.grid),
        labels=_describe_labels(site),
        machine=_describe_machine(site.hardware),
        demands="not stated" if site.privacy is None else site.privacy.demand.describe(),
    )


def _describe_cases(site: SiteReadiness) -> str:
    if site.usable_patients in (0, None, site.usable_cases):
        return count_text(site.usable_cases)
    return f"{count_text(site.usable_cases)} of {counted(site.usable_patients, 'patient')}"


def _describe_labels(site: SiteReadiness) -> str:
    lacking = f", without {' and '.join(site.missing_targets)}" if site.missing_targets else ""
    return f"{site.label_convention or _NOTHING}{lacking}"


def _describe_grid(grid: Grid | None) -> str:
    if grid is None:
        return _NOTHING
    if grid.spacing_mm is None:
        return f"{_product(grid.shape)} pixels"
    edges = grid.spacing_mm if len(set(grid.spacing_mm)) > 1 else grid.spacing_mm[:1]
    return f"{_product(grid.shape)} of {_product(edges)} mm"


def _product(numbers: Sequence[float]) -> str:
    return f" {_TIMES} ".join(f"{number:g}" for number in numbers)


def _describe_machine(hardware: Hardware) -> str:
    cores = counted(hardware.cores, "core")
    gpus = ", ".join(f"GPU {memory:.0f} GiB" for memory in hardware.gpus_gib) or "no GPU"
    return f"{cores}, {hardware.memory_gib:.0f} GiB, {gpus}, {hardware.free_disk_gib:.0f} GiB of disk free"
