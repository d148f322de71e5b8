import errno

import numpy as np
import pytest
from safetensors import SafetensorError

from consilium.federation.updates import spool as module
from consilium.federation.updates.spool import UpdateSpool

UPDATE = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(3)}


def test_what_is_kept_comes_back_tensor_by_tensor(tmp_path):
    spool = UpdateSpool(tmp_path / "updates")
    spool.keep("south", UPDATE)
    spool.keep("north", {name: value * 2 for name, value in UPDATE.items()})
    assert spool.sites == ["north", "south"]
    np.testing.assert_array_equal(spool.read("north", "w"), UPDATE["w"] * 2)
    np.testing.assert_array_equal(spool.read("south", "w", slice(1, 2)), UPDATE["w"][1:2])
    assert spool.read("south", "count") == 3
    assert spool.read("south", "count").shape == ()


def test_views_are_kept_as_what_they_show(tmp_path):
    spool = UpdateSpool(tmp_path / "updates")
    spool.keep("north", {"w": UPDATE["w"].T})
    np.testing.assert_array_equal(spool.read("north", "w"), UPDATE["w"].T)


def test_a_site_s_name_is_no_part_of_a_path(tmp_path):
    spool = UpdateSpool(tmp_path / "updates")
    spool.keep("../../north", UPDATE)
    assert [path.parent for path in tmp_path.rglob("*.safetensors")] == [tmp_path / "updates"]


def test_nothing_is_left_behind(tmp_path):
    folder = tmp_path / "updates"
    spool = UpdateSpool(folder)
    for site in ("north", "south", "east"):
        spool.keep(site, UPDATE)
    spool.drop("south")
    assert (spool.sites, len(list(folder.iterdir()))) == (["east", "north"], 2)
    spool.keep("west", UPDATE)
    assert len(list(folder.iterdir())) == 3
    spool.close()
    assert not folder.exists()


def test_what_a_crash_has_left_goes_with_the_first_update(tmp_path):
    folder = tmp_path / "updates"
    crashed = UpdateSpool(folder)
    for site in ("north", "south"):
        crashed.keep(site, UPDATE)
    spool = UpdateSpool(folder)
    assert len(list(folder.iterdir())) == 2, "a constructor removes nothing"
    spool.keep("east", UPDATE)
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(spool.read("east", "w"), UPDATE["w"])


def test_a_full_disk_keeps_nothing_of_an_update(tmp_path, monkeypatch):
    folder = tmp_path / "updates"
    spool = UpdateSpool(folder)

    def half(tensors, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", half)
    with pytest.raises(OSError, match="No space left"):
        spool.keep("north", UPDATE)
    assert spool.sites == []
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_system_as_safetensors_does_not_say(tmp_path, monkeypatch):
    def full(arrays, path):
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module, "save_file", full)
    spool = UpdateSpool(tmp_path / "updates")
    with pytest.raises(OSError, match="No space left on device") as caught:
        spool.keep("north", UPDATE)
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "updates").iterdir()) == []
