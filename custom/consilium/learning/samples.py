"""Batched training samples of a site's cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from consilium.data.cached_case import CachedCase, UnreadableCase
from consilium.errors import TrainingError
from consilium.learning.socket_folder import socket_folder
from consilium.tasks.method import BatchShare, Sampler

NONE_READABLE: Final = "none of the training cases can be read any more"


class SampleStream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless stream of training samples, each with the index of its case.

    Every case of the site comes once before any comes again, and of every patient one before a second one: so
    many samples are of as many different patients, as far as there are so many.

    Args:
        cases: Labeled cases.
        sampler: How to draw samples.
        seed: Two streams with the same cases, sampler, seed and worker count are equal.
        share: The rows of each batch to read; the others are only drawn.
        lost: For each case, uint8, whether it can no longer be read; cases without such a mark are used, and
            those that turn out unreadable get one.
    """

    def __init__(
        self, cases: Sequence[CachedCase], sampler: Sampler, seed: int, share: BatchShare, lost: Tensor
    ) -> None:
        super().__init__()
        self._cases = tuple(cases)
        self._sampler = sampler
        self._seed = seed
        self._share = share
        self._lost = lost

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        random = np.random.default_rng([self._seed, number])
        # Each worker has patients of its own; where there are more workers than patients, some share.
        by_patient = group_by_patient(self._cases)
        everyone = [case for cases in by_patient for case in cases]
        mine = [case for cases in by_patient[number::workers] for case in cases] or everyone
        own = self._share.rows
        row = 0
        while True:
            drawn = [mine[index] for index in random.permutation(len(mine))]
            for case in _interleave_patients(drawn, self._cases):
                if self._lost[case]:
                    continue
                try:
                    placement = self._sampler.place(self._cases[case], random)
                    is_own = own.start <= row < own.stop
                    sample = self._sampler.cut(self._cases[case], placement) if is_own else None
                except UnreadableCase:
                    self._lost[case] = 1
                    continue
                row = (row + 1) % self._share.batch_size
                if sample is not None:
                    yield *sample, torch.tensor(case)
            if all(self._lost[case] for case in mine):
                mine = everyone
                if self._lost.all():
                    raise TrainingError(NONE_READABLE)


def sample_loader(
    cases: Sequence[CachedCase],
    sampler: Sampler,
    *,
    seed: int,
    share: BatchShare,
    lost: Tensor,
    workers: int,
    pin_memory: bool,
) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
    """Batch an endless stream of training samples.

    A batch is inputs `(N, ...)`, targets `(N, ...)` and places of their cases `(N,)`, as the sampler makes
    them; N is this process's share of the job's batch. What becomes unreadable is left out and marked in
    `lost`, uint8 `(cases,)`, which must lie in shared memory where there are workers.

    Raises:
        ConfigurationError: If workers have no place for their sockets; see `socket_folder`.
    """
    if workers:
        socket_folder()  # chosen now: a worker that finds none would never hand its samples over
    return DataLoader(
        SampleStream(cases, sampler, seed, share, lost),
        batch_size=share.size,
        # A worker with fewer patients than a batch has rows would show some of them twice in it.
        num_workers=min(workers, max(1, len(group_by_patient(cases)) // share.batch_size)),
        pin_memory=pin_memory,
        persistent_workers=False,
    )


def group_by_patient(cases: Sequence[CachedCase]) -> list[list[int]]:
    """Return the places of each patient's cases, in the order in which patients first appear."""
    places: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        places.setdefault(case.patient, []).append(place)
    return list(places.values())


def _interleave_patients(drawn: Sequence[int], cases: Sequence[CachedCase]) -> list[int]:
    """Reorder drawn cases so that every patient comes once before any patient repeats."""
    seen: Counter[str] = Counter()
    turns = []
    for place in drawn:
        turns.append((seen[cases[place].patient], place))
        seen[cases[place].patient] += 1
    return [place for _, place in sorted(turns, key=lambda turn: turn[0])]
