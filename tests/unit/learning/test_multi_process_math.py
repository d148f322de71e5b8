"""That processes sharing a batch compute what one process computes, without starting any."""

import numpy as np
import pytest
import torch
from torch import nn

from consilium.errors import ConfigurationError
from consilium.learning.dropout import BatchDropout, share_dropout
from consilium.learning.ranks import Ranks
from consilium.learning.samples import sample_loader
from consilium.tasks import TASKS, get_task
from consilium.tasks.brain_tumor.method import change_contrast
from consilium.tasks.method import BatchShare
from consilium.tasks.segmentation.patches import PatchSampler

from .tiny import cached_case

SHARINGS = [(1, 1), (4, 2), (3, 2), (5, 3), (8, 8)]


def shares(batch_size, world_size):
    return [BatchShare(batch_size, rank, world_size) for rank in range(world_size)]


@pytest.mark.parametrize(("batch", "world"), SHARINGS)
def test_shares_are_the_whole_batch_and_as_even_as_can_be(batch, world):
    rows = [row for share in shares(batch, world) for row in range(batch)[share.rows]]
    assert rows == list(range(batch))
    sizes = [share.size for share in shares(batch, world)]
    assert max(sizes) - min(sizes) <= 1
    assert sum(share.weight for share in shares(batch, world)) == pytest.approx(1)


def test_a_process_without_a_row_is_a_mistake():
    with pytest.raises(ValueError, match="process 2 of 3 has no row in a batch of 2"):
        BatchShare(2, 2, 3)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("batch", "world", "workers"), [*((batch, world, 0) for batch, world in SHARINGS), (3, 2, 2)]
)
def test_processes_cut_the_batches_that_one_process_cuts(tmp_path, batch, world, workers):
    random = np.random.default_rng(0)
    cases = [cached_case(tmp_path, random.integers(0, 4, (20, 24, 18)), name=f"P{i}") for i in range(3)]

    def batches(share):
        loader = iter(
            sample_loader(
                cases,
                PatchSampler((16, 16, 16), foreground_share=0.3),
                seed=7,
                share=share,
                lost=torch.zeros(len(cases), dtype=torch.uint8),
                workers=workers,
                pin_memory=False,
            )
        )
        return [next(loader) for _ in range(4)]

    alone = batches(BatchShare(batch))
    together = [batches(share) for share in shares(batch, world)]
    for step, whole in enumerate(alone):
        for part in (0, 1):
            assert torch.equal(torch.cat([one[step][part] for one in together]), whole[part])


@pytest.mark.parametrize(("batch", "world"), SHARINGS)
def test_a_patch_changes_its_contrast_alike_in_whatever_process_it_is(batch, world):
    images = torch.rand(batch, 4, 3, 3, 3)

    def changed(share):
        generator = torch.Generator().manual_seed(5)
        steps = [change_contrast(images[share.rows].clone(), share, generator) for _ in range(6)]
        return torch.stack(steps, dim=1)

    assert torch.equal(
        torch.cat([changed(share) for share in shares(batch, world)]), changed(BatchShare(batch))
    )


@pytest.mark.parametrize(("batch", "world"), SHARINGS)
def test_a_patch_loses_the_same_channels_in_whatever_process_it_is(batch, world):
    features = torch.rand(batch, 16, 2, 2, 2)

    def dropped(share):
        dropout = BatchDropout(0.4, share, torch.Generator().manual_seed(5))
        return torch.stack([dropout(features[share.rows]) for _ in range(3)], dim=1)

    alone = dropped(BatchShare(batch))
    assert torch.equal(torch.cat([dropped(share) for share in shares(batch, world)]), alone)
    assert not torch.equal(alone[:, 0], alone[:, 1])


def test_dropout_drops_as_many_channels_as_torch_s_and_scales_up_the_rest():
    share = BatchShare(64)
    dropout = BatchDropout(0.25, share, torch.Generator().manual_seed(0))
    kept = dropout(torch.ones(64, 100, 2, 2, 2))
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(kept.amax(dim=(2, 3, 4)), kept.amin(dim=(2, 3, 4)))
    assert float((kept == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(dropout.eval()(torch.ones(1, 2, 1, 1, 1)), torch.ones(1, 2, 1, 1, 1))


def test_dropout_of_single_features_is_shared_as_well_and_one_of_none_is_left_alone():
    network = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5), nn.Dropout(0.0))
    both = BatchDropout(0.5, BatchShare(2), torch.Generator().manual_seed(0), channels=False)
    whole = both(torch.ones(2, 50))[:1]
    part = BatchDropout(0.5, BatchShare(2, 0, 2), torch.Generator().manual_seed(0), channels=False)
    assert torch.equal(part(torch.ones(1, 50)), whole)
    assert 0 < int((whole == 0).sum()) < 50
    share_dropout(network, BatchShare(2), torch.Generator())
    assert [type(layer) for layer in network] == [nn.Linear, BatchDropout, nn.Dropout]


@pytest.mark.parametrize(
    "name", [(task.name, network) for task in TASKS.values() for network in task.settings_type.networks()]
)
def test_every_network_can_be_shared_and_keeps_the_names_of_its_weights(name):
    task, network_name = get_task(name[0]), name[1]
    network = task.method.build_network(task.settings_type(network=network_name))
    names = list(network.state_dict())
    share_dropout(network, BatchShare(2), torch.Generator())
    assert list(network.state_dict()) == names
    # A layer that mixes samples would be refused here, before torch.distributed is asked for its group.
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        Ranks(0, 2).connect(network)


@pytest.mark.parametrize("layer", [nn.BatchNorm3d(4), nn.Dropout(0.1)])
def test_layers_that_would_compute_something_else_are_rejected(layer):
    with pytest.raises(ConfigurationError, match=f"{type(layer).__name__}.*`processes`.*to 1"):
        Ranks(0, 2).connect(nn.Sequential(nn.Conv3d(4, 4, 1), layer))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize(("batch", "world"), [(4, 2), (3, 2), (5, 3)])
def test_weighted_gradients_of_the_shares_are_the_gradient_of_the_batch(task, batch, world):
    torch.manual_seed(0)
    network = task.method.build_network(task.settings_type()).double()
    images = torch.randn(batch, len(task.inputs), 16, 16, 16, dtype=torch.float64)
    target = (torch.rand(batch, len(task.targets), 16, 16, 16) < 0.2).double()
    target[0] = 0  # a patch without tumor weighs as much as any other
    loss = task.method.build_loss(task.settings_type())

    def gradient(share):
        network.zero_grad()
        value = loss(network(images[share.rows]), target[share.rows]) * share.weight
        value.backward()
        return value.item(), [parameter.grad.clone() for parameter in network.parameters()]

    whole, expected = gradient(BatchShare(batch))
    parts = [gradient(share) for share in shares(batch, world)]
    assert sum(value for value, _ in parts) == pytest.approx(whole, rel=1e-12)
    for index, wanted in enumerate(expected):
        torch.testing.assert_close(sum(grads[index] for _, grads in parts), wanted, rtol=1e-9, atol=1e-12)


def test_alone_nothing_is_asked_of_torch_distributed():
    ranks, network = Ranks(), nn.BatchNorm3d(2)
    assert ranks.connect(network) is network
    assert (ranks.any(True), ranks.any(False)) == (True, False)
    assert ranks.sum(torch.tensor(0.5)) == 0.5
