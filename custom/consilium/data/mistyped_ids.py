"""Explanations of ids that match no case: the changes that spreadsheets and people make."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

from consilium.data.visits import normalize_unicode

_FILE_NAME = re.compile(r"(?i)[/\\]|\.nii(?:\.gz)?$")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")

_KINDS: Final[tuple[tuple[Callable[[str], str], str], ...]] = (
    (str.casefold, "in capital letters alone"),
    (
        lambda text: _ZEROS.sub("", text).casefold(),
        "in leading zeros, which Excel removes unless the column is imported as text",
    ),
    (lambda text: re.sub(r"[-_. ]", "", text).casefold(), "in hyphens, dots or spaces alone"),
)


def explain_unknown_id(written: Collection[str], case_ids: Collection[str]) -> Iterator[str]:
    """Say what makes ids in a file other than those of the cases, without naming any.

    Args:
        written: Ids in the file that no case has.
        case_ids: The cases.

    Returns:
        Each kind of mistake, and how many ids it explains.
    """
    cases = {normalize_unicode(case_id) for case_id in case_ids}
    rest = set(written) - cases
    for spell, what in _KINDS:
        spelled = {spell(case_id) for case_id in cases}
        alike = {one for one in rest if spell(one) in spelled}
        if alike:
            yield f"ids that differ from a case's {what}: {len(alike)}"
        rest -= alike
    if files := sum(bool(_FILE_NAME.search(one)) for one in rest):
        yield f"names of files or folders, where ids of cases are wanted: {files}"
