import errno
import json

import numpy as np
import pytest

from consilium.learning import checkpoints
from consilium.learning.checkpoints import CheckpointStore, DamagedCheckpoint


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "a-job", keep=2)


def weights(value):
    return {"w": np.full((3, 2), value, np.float32), "count": np.asarray(7, np.int64)}


def fill(store, *numbers, pinned=()):
    for number in numbers:
        store.save(number, {"model": weights(number)}, {"rounds": number}, pinned=pinned)


def damage(store, number, kind):
    """Change one of a checkpoint's files in one way."""
    state, tensors = (store.folder / f"round_{number:06d}.{end}" for end in ("json", "safetensors"))
    if kind == "torn state":
        state.write_bytes(state.read_bytes()[:-9])
    elif kind == "changed state":
        content = json.loads(state.read_text())
        content["state"]["rounds"] = 99
        state.write_text(json.dumps(content))
    elif kind == "empty state":
        state.write_bytes(b"")
    elif kind == "no object":
        state.write_text("[1]")
    elif kind == "no arrays":
        tensors.unlink()
    elif kind == "torn arrays":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif kind == "flipped bit":
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif kind == "another round's state":
        state.write_bytes((store.folder / f"round_{number - 1:06d}.json").read_bytes())


DAMAGES = [
    "torn state",
    "changed state",
    "empty state",
    "no object",
    "no arrays",
    "torn arrays",
    "flipped bit",
    "another round's state",
]


def test_what_was_kept_is_what_is_found(store):
    fill(store, 1)
    checkpoint, faults = store.load_last()
    assert not faults
    assert (checkpoint.number, checkpoint.state) == (1, {"rounds": 1})
    assert checkpoint.arrays.keys() == {"model"}
    kept = checkpoint.arrays["model"]
    assert kept.keys() == {"w", "count"}
    for name, value in weights(1).items():
        np.testing.assert_array_equal(kept[name], value)
        assert kept[name].dtype == value.dtype
        assert kept[name].shape == value.shape


def test_arrays_of_several_kinds_stay_apart(store):
    store.save(1, {"model": weights(1), "before": weights(2), "none": {}}, {})
    arrays = store.load(1).arrays
    assert {kind: values["w"][0, 0] for kind, values in arrays.items()} == {"model": 1, "before": 2}


def test_the_last_rounds_and_the_pinned_stay(store):
    fill(store, 1, 2, 3, 4, 5, pinned=(2,))
    assert store.numbers() == [2, 4, 5]
    assert len(list(store.folder.iterdir())) == 6


def test_there_is_nothing_before_the_first(store):
    assert store.load_last() == (None, [])


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_round_is_found_and_the_one_before_is_taken(store, kind):
    fill(store, 4, 5)
    damage(store, 5, kind)
    with pytest.raises(DamagedCheckpoint):
        store.load(5)
    checkpoint, faults = store.load_last()
    assert checkpoint.number == 4
    assert len(faults) == 1
    assert "round 5" in faults[0]


@pytest.mark.parametrize("failing", ["save_model", "write_atomically"])
def test_a_full_disk_leaves_the_rounds_before(store, monkeypatch, failing):
    fill(store, 1, 2)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, failing, full)
    with pytest.raises(OSError, match="No space"):
        fill(store, 3)
    assert store.numbers() == [1, 2]
    assert store.load_last()[0].number == 2
    assert len(list(store.folder.iterdir())) == 4


def test_a_round_that_is_repeated_takes_the_place_of_the_first(store):
    fill(store, 1, 2)
    store.save(2, {"model": weights(20)}, {"rounds": 20})
    checkpoint, _ = store.load_last()
    assert (checkpoint.number, checkpoint.state) == (2, {"rounds": 20})
    assert checkpoint.arrays["model"]["w"][0, 0] == 20


def test_a_return_to_an_older_round_abandons_the_later_ones(store):
    fill(store, 5, 6, 7)
    store.save(2, {"model": weights(20)}, {"rounds": 20})
    assert store.numbers() == [2]
    assert store.load_last()[0].state == {"rounds": 20}
    assert len(list(store.folder.iterdir())) == 2


def test_the_last_round_up_to_a_number_is_found(store):
    fill(store, 1, 2)
    assert store.load_last(up_to=1)[0].number == 1
    assert store.load_last(up_to=9)[0].number == 2
    assert store.load_last(up_to=0) == (None, [])


def test_all_of_it_can_be_removed(store):
    fill(store, 1)
    store.remove()
    assert not store.folder.exists()
    store.remove()
