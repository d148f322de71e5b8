"""The officer's page as PDF, to be signed or filed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consilium.report.html import upper_first
from consilium.report.paper import FAINT, Paper, TextStyle
from consilium.report.privacy.page import NATURES, basis
from consilium.report.privacy.statement import PrivacyStatement

_TITLE: Final = TextStyle(15, weight="bold")
_SUBTITLE: Final = TextStyle(8, FAINT, before=1)
_SUMMARY: Final = TextStyle(9.5, before=5)
_HEADING: Final = TextStyle(9.5, "#0b6b5d", "bold", before=7)
_FACT: Final = TextStyle(7.6, before=1.5)
_COLUMN: Final = TextStyle(7, FAINT)
_CELL: Final = TextStyle(6.8)

_HEAD: Final = (
    "What leaves",
    "About whom, and the minimum",
    "The server's operator",
    "The project's users",
    "Other hospitals' sites",
    "Protection",
)
_SHARES: Final = (0.24, 0.24, 0.13, 0.14, 0.11, 0.14)


def render_privacy_pdf(statement: PrivacyStatement) -> bytes:
    """Return the page on sheets of A4: no date, no link; the same statement is the same file."""
    paper = Paper(turns=True)
    paper.write("What this job takes from a hospital", _TITLE)
    place = f", at {statement.site}" if statement.site else ""
    paper.write(
        f"Privacy page of job {statement.job}, {NATURES[statement.kind]}{place}. {basis(statement)} It "
        "states "
        "what the software does; it is no legal advice, and conclusions are the reader's.",
        _SUBTITLE,
    )
    paper.write(" ".join(statement.summary), _SUMMARY)
    _head(paper, "What leaves, and who sees it")
    paper.skip(4)
    rows = [
        (
            flow.what,
            f"{upper_first(flow.about)}. {_sentence(flow.minimum)}",
            upper_first(flow.server),
            upper_first(flow.users),
            upper_first(flow.hospitals),
            upper_first(flow.protection),
        )
        for flow in statement.flows
    ]
    paper.table(_HEAD, rows, _SHARES, heading=_COLUMN, cell=_CELL)
    if statement.not_sent:
        name = statement.site or "the hospital"
        held = [f"{upper_first(one.what)}: {one.why}." for one in statement.not_sent]
        _list(paper, f"What the job asks for, and {name} does not send", held)
    _list(paper, "What never leaves", statement.stays)
    for section in statement.sections:
        _list(paper, section.heading, section.sentences)
    _list(paper, "Not covered", statement.not_covered)
    texts = [f"{one.title}; {one.source}. {one.use}" for one in statement.references]
    _list(paper, "Texts that this page refers to", texts)
    return paper.to_pdf(f"Privacy of job {statement.job}")


def _sentence(text: str) -> str:
    return f"{upper_first(text)}." if text else ""


def _head(paper: Paper, heading: str) -> None:
    paper.keep_together(4 * _HEADING.line)
    paper.write(heading, _HEADING)


def _list(paper: Paper, heading: str, sentences: Sequence[str]) -> None:
    _head(paper, heading)
    for one in sentences:
        paper.write(one, _FACT, bullet=True)
