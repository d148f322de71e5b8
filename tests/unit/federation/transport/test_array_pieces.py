"""Arrays are cut into pieces at one end and put together at the other, which trusts no description."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nvflare.fuel.f3.streaming.download_service import ProduceRC

from consilium.federation.transport.array_pieces import ArrayPieces, PieceCollector, _make_room
from consilium.federation.transport.arrival import DiskArrival, MemoryArrival
from consilium.federation.transport.transfer_slots import TransferSlots

KINDS = st.sampled_from(["f4", "f8", "f2", "i8", "u1", "?", ">f4", "c8"])
ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=5),
    KINDS.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0, max_side=6))),
    max_size=6,
)


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch):
    """Leave out the turns that a controller in another test may have set up in this process."""
    monkeypatch.setattr(ArrayPieces, "slots", TransferSlots(at_once=math.inf, patience_seconds=0.0))


def fetch(source, collector):
    """Do what FLARE's downloader does, without a line between the two."""
    state = None
    while True:
        code, data, state = source.produce(state, "north")
        if code != ProduceRC.OK:
            assert code == ProduceRC.EOF
            collector.download_completed("ref")
            return collector.arrays
        assert collector.consume("ref", state, data) == state


@pytest.fixture(params=["memory", "disk"])
def room(request, tmp_path):
    """A function that makes room for arrays that arrive, and the folder for their files."""
    folder = tmp_path / "arrivals" if request.param == "disk" else None
    return lambda length: _make_room(folder, length)


@given(arrays=ARRAYS, piece=st.integers(1, 300))
def test_all_arrays_arrive_as_they_were(arrays, piece):
    arrived = fetch(ArrayPieces(arrays, piece), PieceCollector(MemoryArrival))
    assert list(arrived) == list(arrays)
    for name, array in arrays.items():
        assert (arrived[name].dtype, arrived[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrived[name], array)


def test_they_can_be_calculated_with_in_place_wherever_they_lie(room):
    arrays = {"w": np.arange(1000.0), "strided": np.arange(24.0).reshape(4, 6)[:, ::2]}
    arrived = fetch(ArrayPieces(arrays, 256), PieceCollector(room))
    arrived["w"] *= 2
    np.testing.assert_array_equal(arrived["w"], 2 * np.arange(1000.0))
    np.testing.assert_array_equal(arrived["strided"], arrays["strided"])
    assert all(array.flags.aligned for array in arrived.values())


def test_a_file_of_arrivals_has_no_name_that_a_crash_could_leave(tmp_path):
    arrival = DiskArrival.allocate(100, tmp_path / "arrivals")
    assert list((tmp_path / "arrivals").iterdir()) == []
    arrival.write(0, b"a" * 100)
    assert bytes(arrival.content()) == b"a" * 100


def test_without_room_on_the_disk_memory_takes_its_place(tmp_path, caplog):
    no_folder = tmp_path / "file"
    no_folder.write_text("in its way")
    collector = PieceCollector(lambda length: _make_room(no_folder, length))
    arrived = fetch(ArrayPieces({"w": np.ones(10)}, 16), collector)
    np.testing.assert_array_equal(arrived["w"], np.ones(10))
    assert "no room on the disk" in caplog.text


def test_sites_fetch_at_their_own_pace_and_may_ask_again():
    source = ArrayPieces({"w": np.arange(100.0)}, 64)
    _, first, state = source.produce(None, "north")
    _, second, _ = source.produce(state, "north")
    assert source.produce(None, "south")[1] == first
    assert source.produce(dict(state), "north")[1] == second
    source.release()
    with pytest.raises(RuntimeError, match="had been freed"):
        source.produce(state, "north")


@pytest.mark.parametrize("state", [{"number": 99}, {"number": -2}, {"number": "0"}, {"other": 1}])
def test_a_request_for_no_piece_of_it_is_answered_with_an_error(state):
    assert ArrayPieces({"w": np.ones(10)}, 16).produce(state, "north")[0] == ProduceRC.ERROR


def test_what_is_no_number_does_not_travel():
    with pytest.raises(ValueError, match="only arrays of numbers"):
        ArrayPieces({"w": np.array([print], dtype=object)}, 16)


def head(arrays, piece=16):
    return piece.to_bytes(8, "big") + json.dumps(arrays).encode()


@pytest.mark.parametrize(
    "description",
    [
        head([["w", "O", [2]]]),
        head([["w", "M8[s]", [2]]]),
        head([["w", "i4,f8", [2]]]),
        head([["w", "no such kind", [2]]]),
        head([["w", "f4", [-2]]]),
        head([["w", "f4", "two"]]),
        head([["w", "f4"]]),
        head({"w": 1}),
        head([["w", "f4", [4]]], piece=0),
        b"",
        b"\x00" * 7 + b"\x10{",
        head([["w", "f4", [10**12, 10**12]]]),
    ],
)
def test_a_description_that_lies_is_rejected_before_there_is_room_for_it(description):
    def make_room(length):
        raise AssertionError(f"room was made for {length} bytes")

    collector = PieceCollector(make_room, most_bytes=1000)
    with pytest.raises(ValueError, match=r"."):
        collector.consume("ref", {"number": 0}, [description, b"0123456789abcdef"])


@pytest.mark.parametrize(
    ("state", "piece"),
    [({"number": 2}, b"x" * 16), ({"number": 0}, b"x" * 16), ({}, b"x" * 16), ({"number": 1}, b"short")],
)
def test_a_piece_that_is_not_the_next_one_is_rejected(state, piece):
    collector = PieceCollector(MemoryArrival)
    collector.consume("ref", {"number": 0}, [head([["w", "f8", [4]]]), b"x" * 16])
    with pytest.raises(ValueError, match="piece"):
        collector.consume("ref", state, [piece])


def test_arrays_of_which_a_piece_is_missing_are_none():
    collector = PieceCollector(MemoryArrival)
    with pytest.raises(ValueError, match="pieces are missing"):
        collector.download_completed("ref")
    collector.consume("ref", {"number": 0}, [head([["w", "f8", [4]]]), b"x" * 16])
    with pytest.raises(ValueError, match="pieces are missing"):
        collector.download_completed("ref")
    collector.download_failed("ref", "the line was cut")
    assert (collector.error, collector.arrays) == ("the line was cut", None)
