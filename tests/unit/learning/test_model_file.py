import pickle

import numpy as np
import pytest

from consilium.errors import DataError
from consilium.learning.model_file import load_model, save_model

WEIGHTS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "turned": np.arange(6.0).reshape(2, 3).T,  # not contiguous
    "count": np.array(3),
}


def test_weights_and_metadata_come_back_as_they_were(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, WEIGHTS, {"round": "3", "learning": '{"task": "brain_tumor"}'})
    weights, metadata = load_model(path)
    assert weights.keys() == WEIGHTS.keys()
    for name, value in WEIGHTS.items():
        assert np.array_equal(weights[name], value)
        assert weights[name].dtype == value.dtype
    assert metadata == {"round": "3", "learning": '{"task": "brain_tumor"}'}


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "model.safetensors"
    for number in ("1", "2"):
        save_model(path, WEIGHTS, {"round": number})
    assert load_model(path)[1] == {"round": "2"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.safetensors does not exist"):
        load_model(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_damaged_file_is_rejected(tmp_path, keep):
    path = tmp_path / "model.safetensors"
    save_model(path, WEIGHTS, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a readable safetensors file"):
        load_model(path)


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_under_the_name_of_a_model_is_rejected_and_never_run(tmp_path):
    trace, path = tmp_path / "it-ran", tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Attack(trace)))
    with pytest.raises(DataError):
        load_model(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes()).close()
    assert trace.exists()  # the attack would have worked
