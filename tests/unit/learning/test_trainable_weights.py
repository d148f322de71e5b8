import pytest
from torch import nn

from consilium.errors import ConfigurationError
from consilium.learning.trainable_weights import check_network, select_trainable
from consilium.tasks import get_task


def test_a_network_without_norm_weights_has_no_norms_to_train():
    with pytest.raises(ConfigurationError, match="allowed: all, last_layers"):
        select_trainable(nn.Conv3d(4, 3, 1), "norms", 1)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (nn.Sequential(nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4)), "BatchNorm3d"),
        (nn.BatchNorm2d(4, track_running_stats=False), "BatchNorm2d"),
        (nn.SyncBatchNorm(4), "SyncBatchNorm"),
        (nn.InstanceNorm3d(4, track_running_stats=True), "running_mean"),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), "_u"),
    ],
)
def test_what_computes_with_other_patients_or_remembers_them_is_rejected_by_name(network, name):
    with pytest.raises(ConfigurationError, match=name):
        check_network(network)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", ["unet_small", "segresnet"])
@pytest.mark.parametrize("trainable", ["all", "last_layers"])
def test_the_networks_of_segmentations_are_accepted(name, trainable):
    task = get_task("brain_tumor")
    network = task.method.build_network(task.settings_type(network=name))
    check_network(network)
    trained = select_trainable(network, trainable, 1)
    whole = sum(value.numel() for value in network.parameters())
    count = sum(value.numel() for value in trained)
    assert count == whole if trainable == "all" else 0 < count < whole / 10
