"""Samples of the patients that each step draws, grouped by patient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from consilium.data.cached_case import CachedCase, UnreadableCase
from consilium.errors import TrainingError
from consilium.learning.samples import NONE_READABLE, group_by_patient
from consilium.learning.socket_folder import socket_folder
from consilium.tasks.method import Sampler

PatientRows: TypeAlias = "tuple[Tensor, Tensor, Tensor]"
"""Inputs, targets and places of cases of one patient's samples."""


def augmentation_seed(seed: int, step: int, place: int) -> int:
    """Return the seed of one patient's augmentation in a step: who else is drawn does not change it.

    Args:
        seed: Of the round.
        step: From 0.
        place: Of the case of the patient's first sample.
    """
    return int(np.random.SeedSequence([seed, step, place]).generate_state(1)[0]) % 2**31


class PatientSamples(Dataset["PatientRows | None"]):
    """Samples of one patient at a time, of any of the patient's cases.

    Args:
        cases: Labeled cases.
        sampler: How to draw samples.
        samples: Of a patient in a step, however many cases there are of the patient.
        seed: Each patient's samples in a step follow from it; whether a patient is drawn does not.
        lost: For each case, uint8, whether it can no longer be read; those that turn out unreadable get a
            mark.
    """

    def __init__(
        self, cases: Sequence[CachedCase], sampler: Sampler, samples: int, seed: int, lost: Tensor
    ) -> None:
        self._cases = tuple(cases)
        self._patients = group_by_patient(self._cases)
        self._sampler = sampler
        self._samples = samples
        self._seed = seed
        self._lost = lost

    def __len__(self) -> int:
        """Return how many patients there are."""
        return len(self._patients)

    def __getitem__(self, drawn: tuple[int, int]) -> PatientRows | None:
        """Return the samples of a patient in a step; None if none of the patient's cases can be read.

        Args:
            drawn: The step and the patient, from 0.
        """
        random = np.random.default_rng([self._seed, *drawn])
        rows: list[tuple[Tensor, Tensor, Tensor]] = []
        while len(rows) < self._samples:
            readable = [place for place in self._patients[drawn[1]] if not self._lost[place]]
            if not readable:
                return None
            place = readable[random.integers(len(readable))]
            case = self._cases[place]
            try:
                rows.append(
                    (*self._sampler.cut(case, self._sampler.place(case, random)), torch.tensor(place))
                )
            except UnreadableCase:
                self._lost[place] = 1
        images, targets, places = zip(*rows, strict=True)
        return torch.stack(images), torch.stack(targets), torch.stack(places)


def patient_loader(
    samples: PatientSamples,
    draws: Iterable[Sequence[int]],
    lost: Tensor,
    *,
    workers: int,
    pin_memory: bool,
) -> DataLoader[PatientRows]:
    """Batch the samples of the patients that each step draws.

    A batch is inputs, targets and places of their cases, the rows of one patient after those of another. It
    is empty where a step draws nobody, or nobody whose cases can be read.

    Args:
        samples: Of a patient.
        draws: For each step, the patients whose samples this process loads.
        lost: See `PatientSamples`.
        workers: Processes that load samples.
        pin_memory: Whether batches are for a GPU.

    Raises:
        ConfigurationError: If workers have no place for their sockets; see `socket_folder`.
    """
    if workers:
        socket_folder()  # chosen now: a worker that finds none would never hand its samples over
    return DataLoader(
        samples,  # type: ignore[arg-type]  # of a patient, until they are joined
        batch_sampler=_Draws(draws, lost),
        collate_fn=_join,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=False,
    )


class _Draws:
    """The patients of each step, with the step, while any case can be read."""

    def __init__(self, draws: Iterable[Sequence[int]], lost: Tensor) -> None:
        self._draws = draws
        self._lost = lost

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step, patients in enumerate(self._draws):
            if self._lost.all():
                raise TrainingError(NONE_READABLE)
            yield [(step, patient) for patient in patients]


def _join(drawn: Sequence[PatientRows | None]) -> PatientRows:
    present = [rows for rows in drawn if rows is not None]
    if not present:
        return torch.empty(0), torch.empty(0), torch.empty(0, dtype=torch.int64)
    inputs, targets, places = zip(*present, strict=True)
    return torch.cat(inputs), torch.cat(targets), torch.cat(places)
