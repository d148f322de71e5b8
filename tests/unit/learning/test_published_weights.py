"""Published weights: files of their form, their channels in the task's order, and what is refused."""

import pickle

import numpy as np
import pytest
import torch
from monai.networks.nets import SegResNet

from consilium.errors import ConfigurationError, DataError
from consilium.learning.network_state import set_weights
from consilium.learning.published_weights import convert_published
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

GPU = BrainTumorSettings(network="segresnet", patch_voxels=16)
THEIRS = ("t1ce", "t1", "t2", "flair")
"""Order of the channels in MONAI's bundle: T1c, T1, T2, FLAIR."""


def published():
    """The network that MONAI's bundle `brats_mri_segmentation` states in its configuration."""
    torch.manual_seed(0)
    return SegResNet(
        blocks_down=[1, 2, 2, 4], blocks_up=[1, 1, 1], init_filters=16, in_channels=4, out_channels=3,
        dropout_prob=0.2,
    ).eval()  # fmt: skip


@pytest.fixture
def convert(tmp_path):
    def convert(content, learning=GPU):
        path = tmp_path / "model.pt"
        torch.save(content, path)
        return convert_published(path, get_task("brain_tumor"), learning)

    return convert


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("wrapped", [lambda state: state, lambda state: {"state_dict": state}])
def test_our_network_answers_about_our_channels_as_theirs_does_about_its_own(convert, wrapped):
    theirs, task = published(), get_task("brain_tumor")
    known, weights = convert(wrapped(theirs.state_dict()))
    ours = task.method.build_network(GPU).eval()
    set_weights(ours, weights)
    images = {name: torch.randn(16, 16, 16) for name in THEIRS}
    with torch.inference_mode():
        expected = theirs(torch.stack([images[name] for name in THEIRS])[None])
        found = ours(torch.stack([images[name] for name in task.inputs])[None])
    assert torch.allclose(found, expected, atol=1e-5)
    assert "Apache-2.0" in known.license


def test_the_order_matters(convert):
    theirs = published()
    _, weights = convert(theirs.state_dict())
    first = "convInit.conv.weight"
    assert not np.array_equal(weights[first], theirs.state_dict()[first].numpy())
    assert np.array_equal(weights[first][:, 0], theirs.state_dict()[first][:, 1].numpy())


def without(name):
    return {key: value for key, value in published().state_dict().items() if key != name}


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("conv_final.2.conv.bias"), "missing conv_final.2.conv.bias"),
        ({**published().state_dict(), "more": torch.zeros(1)}, "unknown 'more'"),
        ({**published().state_dict(), "conv_final.2.conv.bias": torch.zeros(2)}, r"\(2,\), not \(3,\)"),
        ({**published().state_dict(), "conv_final.2.conv.bias": torch.full((3,), torch.nan)}, "not finite"),
        ({**published().state_dict(), "conv_final.2.conv.bias": [0, 0, 0]}, "bias is list"),
        ([1, 2], "no state dict"),
    ],
)
def test_other_weights_are_refused(convert, content, message):
    with pytest.raises(DataError, match=message):
        convert(content)


def test_another_network_is_named_with_the_one_that_fits(convert):
    with pytest.raises(ConfigurationError, match=r"fits learning\.network=segresnet"):
        convert(published().state_dict(), BrainTumorSettings())


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("write", [torch.save, lambda one, path: path.write_bytes(pickle.dumps(one))])
def test_nothing_in_a_file_is_run(tmp_path, write):
    write(Attack(tmp_path / "it-ran"), tmp_path / "model.pt")
    with pytest.raises(DataError, match="without running code"):
        convert_published(tmp_path / "model.pt", get_task("brain_tumor"), GPU)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "made",
    [
        lambda one: one.to_sparse(),
        lambda one: one.to(torch.complex64),
        lambda one: torch.empty(one.shape, device="meta"),
        lambda one: torch.nested.nested_tensor([one[0], one[1, :2]]),
        lambda one: torch.quantize_per_tensor(one, 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "complex", "without values", "nested", "quantized"],
)
def test_numbers_of_another_form_are_refused(convert, made):
    state = published().state_dict()
    with pytest.raises(DataError, match="holds no plain numbers"):
        convert({**state, "convInit.conv.weight": made(state["convInit.conv.weight"])})


@pytest.mark.parametrize("content", [b"", b"abc" * 100, b"\x80\x02}q\x00(", b"PK\x03\x04" + bytes(60)])
def test_what_is_no_file_of_pytorch_is_refused(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(DataError, match="is not a state dict that can be read without running code"):
        convert_published(tmp_path / "model.pt", get_task("brain_tumor"), GPU)
