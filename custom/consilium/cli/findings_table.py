"""Table of findings on a terminal, by code with its remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from consilium.counts import counted

if TYPE_CHECKING:
    from consilium.report.data_check.finding_group import FindingGroup
    from consilium.report.terminal import Terminal
    from consilium.tasks import Task

_COLORS: Final = {"error": "bold red", "warning": "yellow", "info": "dim"}


def print_findings(
    console: Terminal, groups: Sequence[FindingGroup], *, total: int, show_cases: bool
) -> None:
    """Print what was found, and what to do about it; nothing where nothing was.

    Args:
        console: Where to.
        groups: The findings.
        total: How many cases there are.
        show_cases: Whether to name cases and files; such output must not leave the hospital.
    """
    from rich.text import Text

    from consilium.records.texts import clean_text
    from consilium.report.terminal import folding_table

    if not groups:
        return
    table = folding_table(("", "cases", "finding"))
    for group in groups:
        severity = group.severity.value
        seen = Text(f"{group.code.summary} ({group.code.value})")
        if group.images:
            seen.append(f"\n{group.describe_images(total)}")
        seen.append(f"\n-> {group.code.remedy}", style="bold")
        for finding in group.findings:
            if show_cases or finding.case_id is None:
                line = f"{finding.case_id or 'the folder'}: {finding.detail}"
                seen.append(f"\n{clean_text(line, 2000)}", style="dim")
        table.add_row(Text(severity, style=_COLORS[severity]), str(len(group.cases) or ""), seen)
    console.print(table)


def print_incomplete(console: Terminal, incomplete: Mapping[tuple[str, ...], int], task: Task) -> None:
    """Print which images incomplete cases have, and which they need.

    Args:
        console: Where to.
        incomplete: The images of such cases -> how many cases.
        task: What the cases are of.
    """
    for images, count in incomplete.items():
        console.print(
            f"{counted(count, 'case')} with only {', '.join(images)}; a case of {task.name} has "
            f"{', '.join(task.cases.inputs)}"
        )
