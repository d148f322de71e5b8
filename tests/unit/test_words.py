"""The old words of the glossary don't return to the package and its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WORDS = {
    "anew": "again, restart",
    "as they come": "as they arrive",
    "brings code": "contains code",
    "come to its end": "end, be finished",
    "comes to its end": "ends, is finished",
    "go on": "continue, resume",
    "goes on": "continues, resumes",
    "going on": "in progress",
    "in mid-training": "during training",
    "judge": "evaluate, check",
    "judged": "evaluated, checked",
    "judges": "evaluates, checks",
    "lasting process": "parent process",
    "lasting processes": "parent processes",
    "let go of": "free, release",
    "lets go of": "frees, releases",
    "mend": "fix",
    "mended": "fixed",
    "mends": "fixes",
    "newcomer": "new patient",
    "newcomers": "new patients",
    "put on record": "record",
    "refused again and again": "rejected",
    "so many a second": "rate-limited",
    "stands in": "is in",
    "take no part": "not take part",
    "take note": "record",
    "takes no part": "doesn't take part",
    "tell": "report, return, send",
    "tells": "reports, returns, sends",
    "thin line": "slow connection",
    "thin lines": "slow connections",
    "told": "reported, sent",
    "told apart": "distinguished",
    "went on": "continued",
    "what becomes of": "the subject itself",
    "who asks": "the sender",
    "whoever": "the reader, the sender, anybody who",
}
"""What is not written -> what is."""

DONE = (
    "custom/consilium",
    "CONTRIBUTING.md",
    "README.md",
    "docs",
    "examples",
    "tests",
)
"""Files and folders that are held to it."""

ALLOWED: dict[str, str] = {}
"""Line, as it is in a file, to the reason why it may."""

_FORBIDDEN = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, WORDS))})(?![\w-])", re.IGNORECASE)


def files(place: str) -> Iterator[Path]:
    path = ROOT / place
    yield from (
        sorted(
            one
            for one in path.rglob("*")
            if one.suffix in (".py", ".md", ".j2", ".ipynb") and one != Path(__file__)
        )
        if path.is_dir()
        else [path]
    )


@pytest.mark.parametrize("place", DONE)
def test_no_old_word_stands_in_it(place: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r}; write {WORDS[match[0].lower()]}"
        for path in files(place)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in _FORBIDDEN.finditer(line)
        if line.strip() not in ALLOWED
    ]
    assert found == []


def test_no_allowance_is_left_over() -> None:
    lines = {
        line.strip() for place in DONE for path in files(place) for line in path.read_text().splitlines()
    }
    assert ALLOWED.keys() <= lines
