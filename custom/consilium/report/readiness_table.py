"""The readiness check as tables: their rows, and how they look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from consilium.report.codes import meaning, remedy
from consilium.report.readiness import Grid, Hardware, ReadinessRecord, count_text

_NOTHING = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class SiteRow:
    """One hospital.

    Attributes:
        site: Its name.
        can: `train`, `evaluate`, `nothing` or `no answer`.
        reason: Why it can't train; empty where it can.
        usable_cases: Labeled cases without an error.
        grid: Voxels of its images and their edges.
        labels: Their convention.
        machine: What a job may use there.
    """

    site: str
    can: str
    reason: str
    usable_cases: str = _NOTHING
    grid: str = _NOTHING
    labels: str = _NOTHING
    machine: str = _NOTHING


@dataclass(frozen=True)
class FindingRow:
    """One kind of finding at one hospital.

    Attributes:
        site: The hospital.
        count: Cases; `few` where the number never left the site.
        code: What was found.
        meaning: What becomes of the cases.
        remedy: What somebody at the hospital can do about it.
    """

    site: str
    count: str
    code: str
    meaning: str
    remedy: str


def site_rows(record: ReadinessRecord) -> list[SiteRow]:
    """Return a row for every hospital, by name."""
    return [_site_row(record, site) for site in sorted(record.sites.keys() | record.missing.keys())]


def finding_rows(record: ReadinessRecord) -> list[FindingRow]:
    """Return a row for every finding: by hospital, what cost cases first."""
    return [
        FindingRow(name, count_text(count), code, meaning(code), remedy(code))
        for name, site in sorted(record.sites.items())
        for counts in (site.left_out, site.noted)
        for code, count in counts.items()
    ]


def terminal_tables(record: ReadinessRecord) -> Group:
    """Return what `rich` prints: the hospitals, and below them what was found in their cases."""
    sites = _table(
        ("hospital", "can", "cases", "grid", "labels", "machine", "why"),
        [
            (row.site, row.can, row.usable_cases, row.grid, row.labels, row.machine, row.reason)
            for row in site_rows(record)
        ],
    )
    findings = _table(
        ("hospital", "cases", "found", "they are", "what to do"),
        [(row.site, row.count, row.code, row.meaning, row.remedy) for row in finding_rows(record)],
    )
    return Group(sites, findings) if findings.row_count else Group(sites)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # names and reasons come from elsewhere: no markup
    return table


def _site_row(record: ReadinessRecord, name: str) -> SiteRow:
    if name not in record.sites:
        return SiteRow(name, "no answer", record.missing[name])
    site = record.sites[name]
    return SiteRow(
        site=name,
        can=site.can,
        reason=site.reason or "",
        usable_cases=count_text(site.usable_cases),
        grid=_describe_grid(site.grid),
        labels=site.label_convention or _NOTHING,
        machine=_describe_machine(site.hardware),
    )


def _describe_grid(grid: Grid | None) -> str:
    if grid is None:
        return _NOTHING
    spacing = f" {_TIMES} ".join(f"{edge:g}" for edge in grid.spacing_mm)
    return f"{f' {_TIMES} '.join(map(str, grid.shape))} of {spacing} mm"


def _describe_machine(hardware: Hardware) -> str:
    gpus = ", ".join(f"GPU {memory:g} GiB" for memory in hardware.gpus_gib) or "no GPU"
    cores = f"{hardware.cores} core{'' if hardware.cores == 1 else 's'}"
    memory, disk = f"{hardware.memory_gib:g} GiB", f"{hardware.free_disk_gib:g} GiB of disk free"
    return f"{cores}, {memory}, {gpus}, {disk}"
