"""Models for membership inference: each is a round's result with a random half of the same patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from consilium.data.cached_case import CachedCase
from consilium.learning.network_state import set_weights
from consilium.learning.weights import Weights
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from leakage_parts.effort import Effort
from leakage_parts.patients import Roles, read_head
from leakage_parts.updates import Protection, mean_of, train_site
from nnunet_parts.comparison import say

_BATCH = 4


def draw_members(models: int, patients: int) -> NDArray[np.bool_]:
    """Draw a half of the patients for each model, and of the models for each patient, as nearly as it goes.

    Returns:
        `(models, patients)`.
    """
    random = np.random.default_rng(0)
    member = np.zeros((models, patients), bool)
    for model in range(0, models, 2):
        order = random.permutation(patients)
        member[model, order[: patients // 2]] = True
        if model + 1 < models:
            member[model + 1] = ~member[model]
    return member


def train_models(
    roles: Roles, learning: SegmentationSettings, start: Weights, effort: Effort, protection: Protection
) -> tuple[list[Weights], NDArray[np.bool_]]:
    """Train all models of a protection.

    With several sites, the attacked one has the members; the others have patients of their own, the same for
    every model, and the model is the mean over sites.

    Args:
        roles: Where the patients are from.
        learning: The job's settings.
        start: The global model.
        effort: How much of everything.
        protection: Of the attacked site.

    Returns:
        Models, and whether each has seen each patient of the pool.
    """
    pool, size = roles.targets[: effort.pool], effort.other_sites
    others = (*roles.targets[effort.pool :], *roles.decoys, *roles.own)

    def train(cases: Sequence[CachedCase], seed: int, of: Protection) -> Weights:
        return train_site(
            cases,
            learning,
            start,
            steps=effort.member_steps,
            patients_a_step=_BATCH,
            seed=seed,
            protection=of,
        ).weights

    rest = [
        train(others[site * size : (site + 1) * size], 1000 + site, Protection("plain"))
        for site in range(protection.sites - 1)
    ]
    member = draw_members(effort.models, len(pool))
    models = []
    for index, row in enumerate(member):
        cases = [case for case, inside in zip(pool, row, strict=True) if inside]
        update = mean_of([train(cases, index, protection), *rest])
        models.append({name: np.asarray(start[name] + update[name]) for name in start})
        say(f"{protection.name}: model {index + 1} of {len(member)}")
    return models, member


@torch.no_grad()
def losses_of(
    models: Sequence[Weights],
    network: nn.Module,
    loss: nn.Module,
    patients: Sequence[CachedCase],
    learning: SegmentationSettings,
) -> NDArray[np.float64]:
    """Return each model's loss on each patient, `(models, patients)`; the network's weights are put back."""
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    heads = [read_head(case, learning) for case in patients]
    rows = []
    for weights in models:
        set_weights(network, weights)
        rows.append([float(loss(network(image), regions)) for image, regions in heads])
    set_weights(network, before)
    return np.array(rows)
