"""Products made from one reading of a case, each stored for reuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import case_boundary
from consilium.data.case_format import CaseFormat
from consilium.data.case_preparation import Examination
from consilium.data.finding import Finding
from consilium.data.sources import CaseReader, CaseRecord, SourceContent

ValueT = TypeVar("ValueT")


class CaseProduct(ABC, Generic[ValueT]):
    """A product of a case, stored under the key of its files: findings, numbers, preprocessed arrays.

    It is sent to the processes that read cases, so it holds only a few settings.

    Attributes:
        step: What making it is called, for progress.
    """

    step: ClassVar[str]

    @abstractmethod
    def recall(self, key: str, case: Case, convention: str | None) -> ValueT | None:
        """What was made of these files before; None if nothing was, or it is damaged."""

    @abstractmethod
    def make(
        self, key: str | None, case: Case, convention: str | None, examination: Examination[Any]
    ) -> ValueT:
        """Make it from one reading, and keep it where there is a key: a file that can't be read has none.

        Raises:
            CaseError: The case can't be used.
            OSError: What is made can't be written.
        """

    def begin(self, keys: Collection[str]) -> None:
        """Prepare the place where it is kept, before the first case.

        Args:
            keys: Those that are known to be needed.

        Raises:
            OSError: It can't be written.
        """

    def usable(self, value: ValueT) -> bool:
        """Whether the products after this one are made of the case as well."""
        return True

    def account(self, value: ValueT, share: float) -> None:
        """Record a stored product in the calling process.

        Args:
            value: What was recalled or made.
            share: How much of the cohort is done, 0 to 1.
        """


@dataclass(frozen=True)
class CaseJob:
    """One case to recall or read.

    Args:
        case: The case.
        convention: What its target means.
        case_format: How it is read.
        products: What is wanted, in order.
        record: What is known of the files.
        held: Files that have been read already.
    """

    case: Case
    convention: str | None
    case_format: CaseFormat
    products: tuple[CaseProduct[Any], ...]
    record: CaseRecord
    held: Mapping[Path, SourceContent] = field(default_factory=dict, repr=False)

    def known_key(self) -> str | None:
        """The key of the files; None if that takes reading one."""
        return CaseReader(self.case, self.record).known_key(self.convention, self.case_format.name)


@dataclass(frozen=True)
class CaseResult:
    """Result of one case.

    Args:
        case: The case.
        values: In the order of the products; None in the place of what was not made.
        problem: Why a product could not be made.
        record: What is known of the files now; None if that is nothing new.
    """

    case: Case
    values: tuple[Any, ...]
    problem: Finding | None = None
    record: CaseRecord | None = None


def recall_case(job: CaseJob, key: str) -> CaseResult | None:
    """What was made of a case before, its files unopened; None if a product is missing.

    Args:
        job: The case, and what is wanted.
        key: Of its files.
    """
    values: list[Any] = []
    for product in job.products:
        value = product.recall(key, job.case, job.convention)
        if value is None:
            return None
        values.append(value)
        if not product.usable(value):
            break
    return _result(job, values)


def read_case(job: CaseJob) -> CaseResult:
    """Read a case and make its missing products.

    Files that are not known are read to know whether they only look new. Where something is missing, the
    others are read as well: each file once.

    Args:
        job: The case, and what is wanted.

    Raises:
        OSError: A product can't be written.
    """
    reader = CaseReader(job.case, job.record, job.held)
    key = _key(reader, job)
    recalled = recall_case(job, key) if key is not None else None
    if recalled is not None:
        return replace(recalled, record=reader.new_record())
    try:
        with case_boundary(job.case.id, job.case.place, "read"):
            examination = job.case_format.examine(job.case, job.convention, reader.read)
    except CaseError as error:
        examination = Examination((error.problem,))
    key = _key(reader, job)  # of what was read: a known file may have been another
    values: list[Any] = []
    problem: Finding | None = None
    for product in job.products:
        try:
            value = product.recall(key, job.case, job.convention) if key is not None else None
            if value is None:
                value = product.make(key, job.case, job.convention, examination)
        except CaseError as error:
            problem = error.problem
            break
        values.append(value)
        if not product.usable(value):
            break
    return _result(job, values, problem, reader.new_record())


def _key(reader: CaseReader, job: CaseJob) -> str | None:
    try:
        return reader.key(job.convention, job.case_format.name)
    except CaseError:
        return None  # examining the case finds it as well


def _result(
    job: CaseJob,
    values: list[Any],
    problem: Finding | None = None,
    record: CaseRecord | None = None,
) -> CaseResult:
    padded = (*values, *[None] * (len(job.products) - len(values)))
    return CaseResult(job.case, padded, problem, record)
