import pytest
import torch
from torch import nn

from consilium.tasks.segmentation.windows import EMPTY_LOGIT, slide_windows

SIZE = (16, 16, 16)


class Recorder:
    """Doubles the first channels, and remembers the windows that it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, window):
        self.seen.append(window)
        return window[:, :2] * 2


def case(*box, shape=(24, 30, 40)):
    """Noise in a box of zeros."""
    image = torch.zeros(1, 3, *shape)
    inside = tuple(slice(*ends) for ends in box)
    image[(..., *inside)] = torch.rand(image[(..., *inside)].shape) + 1
    return image


@pytest.mark.parametrize("shape", [(16, 16, 16), (20, 30, 17), (9, 40, 16), (5, 6, 7)], ids=str)
def test_windows_join_to_the_whole_case(shape):
    image = torch.rand(1, 3, *shape) + 1
    assert torch.allclose(
        slide_windows(Recorder(), image, size=SIZE, overlap=0.25), image[:, :2] * 2, atol=1e-5
    )


def test_every_window_is_the_training_patch():
    network = Recorder()
    slide_windows(network, torch.rand(1, 3, 20, 9, 40) + 1, size=(16, 24, 8), overlap=0.5)
    assert {tuple(window.shape) for window in network.seen} == {(1, 3, 16, 24, 8)}


@pytest.mark.parametrize(
    ("box", "windows"),
    [
        (((4, 20), (7, 23), (11, 27)), 1),  # as large as a window, at no corner
        (((4, 21), (7, 23), (11, 27)), 2),
        (((0, 24), (0, 30), (0, 16)), 4),
        (((0, 10), (0, 10), (30, 40)), 1),
    ],
)
def test_there_are_as_few_windows_as_hold_the_anatomy(box, windows):
    network = Recorder()
    image = case(*box)
    found = slide_windows(network, image, size=SIZE, overlap=0.0)
    assert len(network.seen) == windows
    occupied = (image[0] != 0).any(dim=0)
    assert torch.allclose(found[0][:, occupied], image[0, :2][:, occupied] * 2, atol=1e-5)


def test_windows_share_what_is_asked_for():
    few, many = Recorder(), Recorder()
    image = torch.rand(1, 3, 16, 16, 64) + 1
    slide_windows(few, image, size=SIZE, overlap=0.0)
    slide_windows(many, image, size=SIZE, overlap=0.5)
    assert (len(few.seen), len(many.seen)) == (4, 7)


def test_where_there_is_nothing_nothing_is_found():
    image = case((0, 8), (0, 8), (0, 40), shape=(40, 40, 40))
    image[..., 10:30] = 0
    network = Recorder()
    found = slide_windows(network, image, size=SIZE, overlap=0.0)
    assert (found[..., 20:, 20:, :] == EMPTY_LOGIT).all()
    assert len(network.seen) == 2  # not the one between them
    empty = slide_windows(network, torch.zeros(1, 3, 20, 20, 20), size=SIZE, overlap=0.25)
    assert empty.shape == (1, 2, 20, 20, 20)
    assert (empty == EMPTY_LOGIT).all()


def test_mirrored_windows_are_turned_back():
    torch.manual_seed(0)
    network = nn.Conv3d(3, 2, 3, padding=1)
    image = torch.rand(1, 3, *SIZE) + 1
    with torch.inference_mode():
        found = slide_windows(network, image, size=SIZE, overlap=0.25, mirror=True)
        flipped = slide_windows(network, image.flip(2, 4), size=SIZE, overlap=0.25, mirror=True)
        straight = slide_windows(network, image, size=SIZE, overlap=0.25)
    assert torch.allclose(found, flipped.flip(2, 4), atol=1e-5)
    assert not torch.allclose(found, straight, atol=1e-3)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shape", [SIZE, (24, 30, 40)], ids=["one window", "many"])
def test_case_is_not_changed_by_a_network_that_returns_its_input(shape, mirror):
    image = torch.rand(1, 3, *shape) + 1
    before = image.clone()
    found = slide_windows(lambda window: window, image, size=SIZE, overlap=0.25, mirror=mirror)
    assert torch.allclose(found, before, atol=1e-5)
    found += 1
    assert torch.equal(image, before)
