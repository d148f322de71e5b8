"""Controls: that the attacks work where they have to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from consilium.tasks import get_task
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from leakage_parts.analytic import Dense, first_layer
from leakage_parts.inversion import Inversion, correlation, fidelity
from leakage_parts.matching import gradients_of, rank
from leakage_parts.results import Row


def run_controls(
    image: Tensor,
    regions: Tensor,
    decoys: Sequence[Tensor],
    mean_head: Tensor,
    learning: SegmentationSettings,
    inversion: Inversion,
) -> list[Row]:
    """Attack gradients of one patient, of a network made for it and of the task's.

    Args:
        image: Of the patient, `(1, C, X, Y, Z)`.
        regions: What is learned from it, `(1, R, X, Y, Z)`.
        decoys: Images of others, `(C, X, Y, Z)` each.
        mean_head: `(1, C, X, Y, Z)`, the attacker's guess.
        learning: The job's settings.
        inversion: Effort of an inversion.
    """
    method = get_task(learning.task).method
    loss = method.build_loss(learning)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(learning.seed)
        dense = Dense(image.shape[1:], regions.shape[1])
        networks = {
            name: method.build_network(learning.model_copy(update={"network": name}))
            for name in learning.networks()
        }
    rows = [_analytic("fully connected first layer", dense, loss, image, regions, decoys)]
    rows += [_analytic(name, network, loss, image, regions, decoys) for name, network in networks.items()]
    update = [one.detach() for one in gradients_of(dense, loss, image, regions)]
    found = inversion.run(dense, loss, update, regions, mean_head)
    rows.append(_row("inversion", "fully connected first layer", found[0], image[0], decoys))
    rows.append(_row("none", "the mean of the attacker's own patients", mean_head[0], image[0], decoys))
    return rows


def _analytic(
    name: str, network: nn.Module, loss: nn.Module, image: Tensor, regions: Tensor, decoys: Sequence[Tensor]
) -> Row:
    found = first_layer(network, loss, image, regions)
    if found is None:
        return _nothing(name, "nothing: the first layer's bias has no gradient")
    if found.numel() != image.numel():
        return _nothing(name, f"a mean of windows of {found.numel()} numbers, no image")
    return _row("analytic", name, found.reshape(image.shape[1:]), image[0], decoys)


def _nothing(name: str, outcome: str) -> Row:
    return {"attack": "analytic", "network": name, "outcome": outcome, "ssim": None, "psnr_db": None}


def _row(attack: str, network: str, found: Tensor, target: Tensor, decoys: Sequence[Tensor]) -> Row:
    place = rank(correlation(found, target), [correlation(found, one) for one in decoys])
    outcome = f"rank {place} of {len(decoys) + 1}"
    return {"attack": attack, "network": network, "outcome": outcome, **fidelity(found, target)}
