"""No text for people says "1 cases" or "case(s)": counts stand with their nouns by one helper."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sources import PACKAGE, modules, nodes

from consilium.counts import counted

_ROOT = Path(__file__).parents[2]
_NOUNS = (
    "arrays|bins|bytes|cases|checks|columns|cores|days|devices|digits|entries|fields|files|findings|folders|"
    "GPUs|hospitals|hours|images|jobs|labels|lines|minutes|models|patches|patients|patterns|processes|"
    "results|rounds|scores|settings|sites|slices|steps|streams|updates|voxels|weights|workers"
)
_ADJECTIVES = "gray|labeled|loader|more|nonzero|other|required|training|unfinished|usable|validation"
_PLURAL = re.compile(rf"^ (?:(?:{_ADJECTIVES}) )*(?:{_NOUNS})\b")
_NO_COUNT = re.compile(
    r"[A-Z_]+"  # a constant, never one
    r"|name|one\.value|described\.value|FILE|seen|verb"
    r"|\w+\.(?:evaluated|scored)_on"  # the patients of which set
    r"|dtype|size|z|self\.shape|_shape\(case\)"  # what the voxels are, or a grid of them
    r"|limits\.\w+|shown|'mean over' if .*"  # distances, names, words
    r"|hours|word|total|every|group\.describe_images\(found\.total\)"
)
_BEHIND = re.compile(r"\((?:s|es)\)(?![\w(])")


def _strings(path: Path) -> Iterator[ast.Constant]:
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node


def test_a_noun_is_in_the_singular_behind_one() -> None:
    assert counted(1, "case") == "1 case"
    assert counted(1.0, "minute") == "1 minute"
    assert counted(0, "site") == "0 sites"
    assert counted(2, "training process", "training processes") == "2 training processes"
    assert counted(1.5, "hour") == "1.5 hours"
    assert counted(None, "case") == "few cases"


def test_no_plural_stands_behind_a_number_that_may_be_one() -> None:
    found = []
    for path in modules():
        for text in nodes(path):
            if not isinstance(text, ast.JoinedStr):
                continue
            for value, after in zip(text.values, text.values[1:], strict=False):
                if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                    continue
                seen = ast.unparse(value.value)
                if _PLURAL.match(str(after.value)) and not _NO_COUNT.fullmatch(seen):
                    found.append(f"{path.name}:{text.lineno}: {{{seen}}}{after.value}")
    assert found == [], "use consilium.counts.counted"


def test_nothing_is_written_with_an_s_in_parentheses() -> None:
    found = [
        f"{path.name}:{text.lineno}: {text.value}"
        for path in modules()
        for text in _strings(path)
        if _BEHIND.search(text.value)
    ]
    pages = [*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md"), *_ROOT.glob("p*/**/*.md")]
    pages += list(PACKAGE.rglob("*.j2"))
    found += [
        f"{path.name}: {line}"
        for path in pages
        for line in path.read_text().splitlines()
        if _BEHIND.search(line)
    ]
    assert not found
