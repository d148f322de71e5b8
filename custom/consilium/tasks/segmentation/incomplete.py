"""Cases that lack images, and are used without them where the hospital or the model allows it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from consilium.data.case import Case
from consilium.data.case_format import FoundCases
from consilium.data.codes import DataCode
from consilium.data.finding import Finding


def accept_incomplete(found: FoundCases, inputs: Sequence[str], may_lack: Collection[str]) -> FoundCases:
    """Count cases as whole that lack no image but those that may be missing.

    Their problem becomes a notice, so that nobody overlooks an image whose file has a wrong name.

    Args:
        found: What a layout found.
        inputs: Names of the images that a whole case has.
        may_lack: Those without which a case is used all the same.
    """
    if not may_lack:
        return found
    # A case with another problem, such as one image twice, is not among the incomplete ones.
    lacks = {case.id: [name for name in inputs if name not in case.images] for case in found.incomplete}
    others = {problem.case_id for problem in found.problems if problem.code is not DataCode.MISSING_IMAGE}
    accepted = [
        case for case in found.incomplete if case.id not in others and set(lacks[case.id]) <= set(may_lack)
    ]
    ids = {case.id for case in accepted}
    notices = [absent_image(case, name) for case in accepted for name in lacks[case.id]]
    return replace(
        found,
        cases=(*found.cases, *accepted),
        problems=tuple(problem for problem in found.problems if problem.case_id not in ids),
        incomplete=tuple(case for case in found.incomplete if case.id not in ids),
        notices=(*found.notices, *notices),
    )


def absent_image(case: Case, name: str) -> Finding:
    """Return the finding that a case is used without an image."""
    detail = f"{case.place} has no {name} image."
    return Finding(code=DataCode.ABSENT_IMAGE, case_id=case.id, detail=detail, image=name)
