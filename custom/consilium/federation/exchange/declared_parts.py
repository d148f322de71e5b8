"""Parts of an answer that the job's algorithm declares: weight sets and plain numbers."""

from __future__ import annotations

from collections.abc import Mapping

from nvflare.app_common.abstract.fl_model import FLModel

from consilium.federation.exchange.answer_form import RejectedAnswer
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.algorithms.base import Declaration
from consilium.learning.weights import WeightSets, split_sets
from consilium.records.federation import SiteReport


def read_sets(answer: FLModel, declaration: Declaration) -> WeightSets:
    """Return the weight sets of a site's update.

    Args:
        answer: The site's answer; without an update, its sets are empty.
        declaration: The algorithm's, of the sets that a site may send.

    Raises:
        RejectedUpdate: If it has a set that is not declared.
    """
    try:
        return split_sets(answer.params or {}, declaration.sent)
    except ValueError as error:
        raise RejectedUpdate(f"it brings {error}") from None


def check_numbers(report: SiteReport, declared: Mapping[str, tuple[float, float]]) -> None:
    """Check the plain numbers of a site's report.

    Args:
        report: The site's.
        declared: Numbers that it has to have, each with its smallest and largest value.

    Raises:
        RejectedAnswer: If the report has other numbers, or one is out of its range.
    """
    if report.numbers.keys() != declared.keys():
        raise RejectedAnswer("it sent other numbers than the job's algorithm asks for")
    for name, (least, most) in declared.items():
        if not least <= report.numbers[name] <= most:
            raise RejectedAnswer(f"its {name} does not lie between {least:g} and {most:g}")
