"""Patches cut from cached cases: the only work that is left to do at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from consilium.data.cached_case import CachedCase, UnreadableCase
from consilium.errors import TrainingError
from consilium.learning.processes.ranks import BatchShare
from consilium.learning.processes.socket_folder import socket_folder
from consilium.tasks.settings import LearningSettings

NONE_READABLE: Final = "none of the training cases can be read any more"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a patch lies in its case.

    Attributes:
        start: First voxel, `(3,)`; negative where the patch reaches beyond the case.
        flips: For each axis, the slice that leaves it as it is or turns it around.
    """

    start: NDArray[np.int64]
    flips: tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class PatchRecipe:
    """How patches are cut and changed.

    Attributes:
        size: Voxels along X, Y, Z.
        foreground_share: Share of patches centered on a tumor voxel; the others are centered anywhere.
    """

    size: tuple[int, int, int]
    foreground_share: float

    def place(self, case: CachedCase, random: np.random.Generator) -> Placement:
        """Draw where the next patch lies, and flip each axis half of the time."""
        start = self._start(case, case.geometry.task_shape, random)
        x, y, z = (slice(None, None, -1 if random.random() < 0.5 else 1) for _ in range(3))
        return Placement(start, (x, y, z))

    def cut(self, case: CachedCase, placement: Placement) -> tuple[Tensor, Tensor]:
        """Cut a patch.

        Returns:
            Image `(C, X, Y, Z)` float16 and tissue label `(X, Y, Z)` uint8, padded with zeros where the patch
            reaches beyond the case.
        """
        image, label = (_cut(array, placement, self.size) for array in (case.image, _label(case)))
        return torch.from_numpy(image), torch.from_numpy(label)

    def _start(
        self, case: CachedCase, shape: Sequence[int], random: np.random.Generator
    ) -> NDArray[np.int64]:
        size, extent = np.asarray(self.size), np.asarray(shape)
        tissues = case.tissue_voxels
        if tissues and random.random() < self.foreground_share:
            # First a tissue, then a voxel of it: small enhancing rims are met as often as large edema.
            voxels = tissues[list(tissues)[random.integers(len(tissues))]]
            center = voxels[random.integers(len(voxels))].astype(np.int64)
            start = center - size // 2 + random.integers(-size // 4, size // 4 + 1)
        else:
            start = random.integers(0, np.maximum(extent - size, 0) + 1)
        # A patch larger than the case is centered on it; any other stays inside.
        inside = np.clip(start, 0, np.maximum(extent - size, 0))
        first: NDArray[np.int64] = np.where(extent < size, (extent - size) // 2, inside)
        return first


class PatchStream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """An endless stream of patches, each with the place of its case.

    Every case of the site comes once before any comes again, and of every patient one before a second one: so
    many patches are of as many different patients, as far as there are so many.

    Args:
        cases: Labeled cases.
        recipe: How to cut.
        seed: Two streams with the same cases, recipe, seed and worker count are equal.
        share: The rows of each batch to cut; the others are only drawn.
        lost: For each case, uint8, whether it can't be read any more; cases without such a mark are used, and
            those that turn out unreadable get one.
    """

    def __init__(
        self, cases: Sequence[CachedCase], recipe: PatchRecipe, seed: int, share: BatchShare, lost: Tensor
    ) -> None:
        super().__init__()
        self._cases = tuple(cases)
        self._recipe = recipe
        self._seed = seed
        self._share = share
        self._lost = lost

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        random = np.random.default_rng([self._seed, number])
        # Each worker has patients of its own; where there are more workers than patients, some share.
        by_patient = _by_patient(self._cases)
        everyone = [case for cases in by_patient for case in cases]
        mine = [case for cases in by_patient[number::workers] for case in cases] or everyone
        own = self._share.rows
        row = 0
        while True:
            drawn = [mine[index] for index in random.permutation(len(mine))]
            for case in _one_of_each_first(drawn, self._cases):
                if self._lost[case]:
                    continue
                try:
                    placement = self._recipe.place(self._cases[case], random)
                    is_own = own.start <= row < own.stop
                    patch = self._recipe.cut(self._cases[case], placement) if is_own else None
                except UnreadableCase:
                    self._lost[case] = 1
                    continue
                row = (row + 1) % self._share.batch_size
                if patch is not None:
                    yield *patch, torch.tensor(case)
            if all(self._lost[case] for case in mine):
                mine = everyone
                if self._lost.all():
                    raise TrainingError(NONE_READABLE)


def patch_loader(
    cases: Sequence[CachedCase],
    settings: LearningSettings,
    *,
    seed: int,
    share: BatchShare,
    lost: Tensor,
    workers: int,
    pin_memory: bool,
) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
    """Batch an endless stream of patches.

    A batch is images `(N, C, X, Y, Z)` float16, tissues `(N, X, Y, Z)` uint8 and places of their cases
    `(N,)`; N is this process's share of the job's batch. What becomes unreadable is left out and marked in
    `lost`, uint8 `(cases,)`, which has to lie in shared memory where there are workers.

    Raises:
        ConfigurationError: If workers have no place for their sockets; see `socket_folder`.
    """
    recipe = PatchRecipe(settings.patch_voxels, settings.foreground_share)  # type: ignore[attr-defined]
    if workers:
        socket_folder()  # chosen now: a worker that finds none would never hand its patches over
    return DataLoader(
        PatchStream(cases, recipe, seed, share, lost),
        batch_size=share.size,
        # A worker with fewer patients than a batch has rows would show some of them twice in it.
        num_workers=min(workers, max(1, len(_by_patient(cases)) // share.batch_size)),
        pin_memory=pin_memory,
        persistent_workers=False,
    )


def change_contrast(images: Tensor, share: BatchShare, generator: torch.Generator) -> Tensor:
    """Change gain, offset and gamma of every modality of every image, as another scanner would.

    It works on whole batches where the network is, so that cutting patches stays a mere copy. The background
    stays exactly 0, which is how the network knows where the head ends.

    Args:
        images: `(N, C, X, Y, Z)`, float32, changed in place.
        share: The rows of the batch that the images are; the draw is for the whole batch.
        generator: On the CPU, whatever the device of the images: the draw is then the same everywhere.
    """
    shape = (share.batch_size, images.shape[1], 1, 1, 1)
    gain, offset, gamma = (
        torch.empty(shape).uniform_(low, high, generator=generator)[share.rows].to(images.device)
        for low, high in ((0.8, 1.25), (-0.25, 0.25), (0.75, 1.35))
    )
    background = images == 0
    images.mul_(gain).add_(offset)
    if torch.rand((), generator=generator) < 0.3:
        images = images.sign() * images.abs().pow_(gamma)
    return images.masked_fill_(background, 0)


def _by_patient(cases: Sequence[CachedCase]) -> list[list[int]]:
    """Places of each patient's cases."""
    places: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        places.setdefault(case.patient, []).append(place)
    return list(places.values())


def _one_of_each_first(drawn: Sequence[int], cases: Sequence[CachedCase]) -> list[int]:
    """Order places of cases so that every patient comes before any comes again, else as they were drawn."""
    seen: Counter[str] = Counter()
    turns = []
    for place in drawn:
        turns.append((seen[cases[place].patient], place))
        seen[cases[place].patient] += 1
    return [place for _, place in sorted(turns, key=lambda turn: turn[0])]


def _label(case: CachedCase) -> NDArray[np.uint8]:
    label = case.label
    if label is None:
        raise ValueError("patches are cut from labeled cases only")
    return label


def _cut(array: NDArray[Any], placement: Placement, size: Sequence[int]) -> NDArray[Any]:
    """Copy the box out of the last three axes of a memory-mapped array; what lies outside the array is 0."""
    start = placement.start
    stop = start + size
    first, last = np.maximum(start, 0), np.minimum(stop, array.shape[-3:])
    inside: NDArray[Any] = np.asarray(array)[_slices(first, last)]
    make = np.empty if inside.shape[-3:] == tuple(size) else np.zeros
    box: NDArray[Any] = make((*array.shape[:-3], *size), dtype=array.dtype)
    # Written through a flipped view of the box, so that every voxel is copied once.
    box[(..., *placement.flips)][_slices(first - start, last - start)] = inside
    return box


def _slices(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[Any, ...]:
    return (..., *(slice(int(low), int(high)) for low, high in zip(first, last, strict=True)))
