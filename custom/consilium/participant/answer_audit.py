"""Audit of answers that, combined with earlier ones, would reveal too few patients.

A declaration can turn patients of an earlier answer into one person, or show that a group is of few. What was
answered then can't be taken back, and leaving these few out would subtract them from it. The answers to a
question span a vector space; one more is withheld if it adds a vector of few patients only to that space. See
Chin and Ozsoyoglu 1982, Auditing and inference control in statistical databases, doi 10.1109/TSE.1982.236161.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

AnsweredCases = Sequence[Collection[str]]
"""The cases of each answer to a question; those that are combinations of others may be left out."""


def discloses(
    answers: AnsweredCases, new: Collection[str], patients: Mapping[str, str], minimum: int
) -> bool:
    """Return whether a sum of multiples of answers may be about few patients once a new one is given.

    Sums that could be formed without it don't count: they reveal nothing new.

    Args:
        answers: Those that were given.
        new: The cases of one more.
        patients: The patient of each case, as known now.
        minimum: Fewest patients that a sum may be about.
    """
    matrix, patients_of_column = _incidence([*answers, new], patients)
    large = [len(of_column) >= minimum for of_column in patients_of_column]
    return _adds(matrix) and not _adds(matrix[:, large])


def extend_basis(answers: AnsweredCases, new: Collection[str]) -> list[list[str]]:
    """Return the answers with a new one, if it is not a sum of multiples of them."""
    basis = [sorted(answer) for answer in answers]
    matrix, _ = _incidence([*answers, new], {case: case for answer in [*answers, new] for case in answer})
    return [*basis, sorted(new)] if _adds(matrix) else basis


def _incidence(
    answers: AnsweredCases, patients: Mapping[str, str]
) -> tuple[NDArray[np.float64], list[set[str]]]:
    """Incidence of answers and groups of cases, `(answers, columns)`, and the cases' patients."""
    columns: dict[tuple[bool, ...], set[str]] = defaultdict(set)
    sets = [frozenset(answer) for answer in answers]
    for case in sorted(frozenset().union(*sets)):
        columns[tuple(case in one for one in sets)].add(patients[case])
    return np.array(list(columns), dtype=np.float64).reshape(-1, len(sets)).T, list(columns.values())


def _adds(matrix: NDArray[np.float64]) -> bool:
    """Whether the last row is not a combination of the others."""
    return _rank(matrix) > _rank(matrix[:-1])


def _rank(matrix: NDArray[np.float64]) -> int:
    return int(np.linalg.matrix_rank(matrix)) if matrix.size else 0
