"""One pass over a site's cases that reads each case once and makes all products from it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, cast

from consilium.data.case_format import CaseFormat, Progress
from consilium.data.case_products import CaseJob, CaseProduct, CaseResult, ValueT, read_case, recall_case
from consilium.data.codes import DataCode
from consilium.data.cohort import Cohort
from consilium.data.finding import Finding
from consilium.data.sources import SourceIndex
from consilium.errors import Cancelled, ConsiliumError
from consilium.processes import defer_interrupts, worker_pool

_STARTS = 2
"""Processes in a row that end before they have done anything, after which no other is started."""


class WorkersError(ConsiliumError):
    """Reading processes that end as soon as they start, with any case."""


@dataclass(frozen=True)
class CohortPass:
    """Result of a pass over a cohort.

    Args:
        products: What was asked for.
        values: For each case, in the order of `products`; None where a product before it said no.
        problems: Why a product could not be made, by case.
    """

    products: tuple[CaseProduct[Any], ...] = ()
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    problems: Mapping[str, Finding] = field(default_factory=dict)

    def of(self, product: CaseProduct[ValueT]) -> dict[str, ValueT]:
        """The values of one product, by case."""
        place = self.products.index(product)
        return {
            case_id: cast(ValueT, values[place])
            for case_id, values in self.values.items()
            if values[place] is not None
        }


def process_cases(
    cohort: Cohort,
    products: Sequence[CaseProduct[Any]],
    *,
    case_format: CaseFormat,
    index: SourceIndex,
    workers: int = 1,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CohortPass:
    """Reuse the stored products of each case, and read only cases with missing ones.

    A case whose files have the size, times and inode that the index knows isn't opened. With more than one
    worker, a script must guard its entry point with `if __name__ == "__main__":`.

    Args:
        cohort: The cases.
        products: What is wanted of each, in order: at least one.
        case_format: How the problem's cases are read.
        index: What is known of the files; what is learned is kept in it.
        workers: Processes that read. Each holds one case at a time.
        progress: Called for each case.
        cancelled: Asked before every case.

    Raises:
        OSError: Something can't be written.
        WorkersError: No process that reads can be started.
        Cancelled: `cancelled` turned true. What was made is kept.
    """
    stop = cancelled or (lambda: False)
    step = products[-1].step
    index.begin()
    jobs = [
        CaseJob(case, cohort.convention, case_format, tuple(products), index.recall(case))
        for case in cohort.cases
    ]
    keys = [job.known_key() for job in jobs]
    for product in products:
        product.begin({key for key in keys if key is not None})
    results: dict[str, CaseResult] = {}
    unread: list[CaseJob] = []

    def note(result: CaseResult) -> None:
        results[result.case.id] = result
        if result.record is not None:
            index.keep(result.case, result.record)
        for product, value in zip(products, result.values, strict=True):
            if value is not None:
                product.account(value, len(results) / len(jobs))
        if progress:
            progress(len(results), len(jobs), step)

    def stop_if_asked() -> None:
        if stop():
            raise Cancelled(f"{step.capitalize()} was cancelled; what is ready is kept.")

    for job, key in zip(jobs, keys, strict=True):
        stop_if_asked()
        recalled = None if key is None else recall_case(job, key)
        if recalled is None:
            unread.append(job)
        else:
            note(recalled)
    try:
        with closing(_read(unread, index, workers)) as reading:
            for _ in unread:
                stop_if_asked()
                note(next(reading))
    finally:
        index.release_all()
    ordered = [results[job.case.id] for job in jobs]
    return CohortPass(
        tuple(products),
        {one.case.id: one.values for one in ordered},
        {one.case.id: one.problem for one in ordered if one.problem is not None},
    )


def _read(jobs: Sequence[CaseJob], index: SourceIndex, workers: int) -> Generator[CaseResult, None, None]:
    """Read cases as asked for; closed before the end, it waits for those that are being read alone."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield read_case(_with_held(job, index))
        return
    left = {job.case.id: job for job in jobs}
    try:
        with closing(_read_together(jobs, index, workers)) as results:
            for result in results:
                del left[result.case.id]
                yield result
    except BrokenProcessPool:
        # The system ended one of the processes; whose case it was isn't known.
        yield from _read_one_by_one(left.values(), index)


def _read_together(
    jobs: Sequence[CaseJob], index: SourceIndex, workers: int
) -> Generator[CaseResult, None, None]:
    with worker_pool(min(workers, len(jobs))) as pool:
        try:
            with defer_interrupts():  # the workers start now and inherit it
                futures = [pool.submit(read_case, _with_held(job, index)) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read_one_by_one(jobs: Iterable[CaseJob], index: SourceIndex) -> Generator[CaseResult, None, None]:
    """Read cases one after the other in a process: one that ends it has a problem, the next a new process.

    A process that ends before it answers has seen no case, so none is at fault.
    """
    left = deque(jobs)
    failed_starts = 0
    while left:
        answered = False
        with worker_pool(1) as pool:
            try:
                with defer_interrupts():
                    answer = pool.submit(os.getpid)
                answer.result()
                answered, failed_starts = True, 0
                while left:
                    with defer_interrupts():
                        future = pool.submit(read_case, _with_held(left[0], index))
                    result = future.result()
                    left.popleft()
                    yield result
            except BrokenProcessPool as error:
                if answered:
                    yield _ended(left.popleft())
                    continue
                failed_starts += 1
                if failed_starts == _STARTS:
                    raise WorkersError(
                        f"{_STARTS} processes that should read cases ended as soon as they started, before "
                        "any file was opened. A script must guard its entry point with "
                        'if __name__ == "__main__":; otherwise free memory, or use one worker.'
                    ) from error


def _ended(job: CaseJob) -> CaseResult:
    detail = f"{job.case.place} can't be read: the system ended the process, most likely for want of memory."
    problem = Finding(case_id=job.case.id, code=DataCode.OUT_OF_RESOURCES, detail=detail)
    return CaseResult(job.case, (None,) * len(job.products), problem)


def _with_held(job: CaseJob, index: SourceIndex) -> CaseJob:
    return replace(job, held=index.release(job.case))
