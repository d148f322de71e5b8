"""Which of some given patients an update is of: the attacker has their images, and compares gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from consilium.data.cached_case import CachedCase
from consilium.learning.weights import Weights
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from leakage_parts.matching import gradients_of, rank, seen
from leakage_parts.patients import flips, read_head


@dataclass(frozen=True)
class Attacked:
    """An update with its true patients.

    Attributes:
        update: As the attacker sees it.
        patients: Places of its patients among the targets.
        steps: It is of so many local steps, or of as many at each site.
    """

    update: Weights
    patients: tuple[int, ...]
    steps: int


class PatientSearch:
    """Ranks each true patient of updates among decoys.

    A candidate's score is the likeness of its gradient at the global model. Of one step it is the best over
    the eight flips, since the sampler has chosen one; of more steps that of their mean.

    Args:
        network: The global model.
        loss: Of the job.
        learning: The job's settings.
    """

    def __init__(self, network: nn.Module, loss: nn.Module, learning: SegmentationSettings) -> None:
        self._network = network
        self._loss = loss
        self._learning = learning

    def run(
        self,
        attacked: Sequence[Attacked],
        targets: Sequence[CachedCase],
        decoys: Sequence[CachedCase],
        *,
        on_candidate: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[list[int]]:
        """Rank the true patients of each update, each against the decoys alone.

        Args:
            attacked: The updates.
            targets: Where `Attacked.patients` point to.
            decoys: Patients of none of the updates.
            on_candidate: Called with the candidates done and all.
        """
        views = torch.stack([_flat(seen(self._network, one.update)) for one in attacked])
        needed = sorted({place for one in attacked for place in one.patients})
        candidates = [targets[place] for place in needed] + list(decoys)
        scores = []
        for done, case in enumerate(candidates, 1):
            scores.append(self._scores(case, views, [one.steps for one in attacked]))
            on_candidate(done, len(candidates))
        table = np.array(scores)  # (candidates, updates)
        others = table[len(needed) :]
        return [
            [rank(table[needed.index(place), column], others[:, column]) for place in one.patients]
            for column, one in enumerate(attacked)
        ]

    def _scores(self, case: CachedCase, views: Tensor, steps: Sequence[int]) -> list[float]:
        image, regions = read_head(case, self._learning)
        found, total = [], torch.zeros(views.shape[1])
        for turned, target in zip(flips(image), flips(regions), strict=True):
            flat = _flat(gradients_of(self._network, self._loss, turned, target))
            found.append(views @ flat)
            total += flat
        best, mean = torch.stack(found).amax(dim=0), views @ total
        return [float(best[place] if one == 1 else mean[place]) for place, one in enumerate(steps)]


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    """Lay layers of norm 1 side by side: the product of two is the sum of their layers' cosines."""
    return torch.cat([(one / one.norm().clamp(min=1e-20)).flatten() for one in gradients])
