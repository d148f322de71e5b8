import math
import struct

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from hypothesis import given
from hypothesis import strategies as st

from consilium.secagg.masks import MaskStream, apply_masks, in_order

LABEL = b"consilium secure aggregation, mask, version 1"
MASK_32 = np.uint64(2**32 - 1)


def hkdf(seed, context):
    """RFC 5869 of one block, written out."""

    def mac(key, data):
        one = hmac.HMAC(key, hashes.SHA256())
        one.update(data)
        return one.finalize()

    return mac(mac(bytes(32), seed), LABEL + context + b"\x01")


def chacha20(key, blocks):
    """RFC 8439, section 2.3, written out, with a nonce of zeros."""
    output = b""
    for counter in range(blocks):
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), counter, 0, 0, 0]
        state = list(start)

        def quarter(a, b, c, d, state=state):
            for add, mix, turn in ((b, d, 16), (d, b, 12), (b, d, 8), (d, b, 7)):
                target = a if add == b else c
                state[target] = (state[target] + state[add]) % 2**32
                value = state[mix] ^ state[target]
                state[mix] = ((value << turn) | (value >> (32 - turn))) % 2**32

        for _ in range(10):
            for column in range(4):
                quarter(column, 4 + column, 8 + column, 12 + column)
            for column in range(4):
                quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
        output += struct.pack("<16I", *((one + two) % 2**32 for one, two in zip(state, start, strict=True)))
    return output


@pytest.mark.parametrize("kind", ["<u4", "<u2"])
def test_a_mask_is_the_key_stream_of_its_seed(kind):
    seed = bytes(range(32))
    expected = np.frombuffer(chacha20(hkdf(seed, b"job, round"), 4), kind)
    array = np.zeros(256 // np.dtype(kind).itemsize, kind)
    MaskStream(seed, b"job, round").add_to(array)
    assert np.array_equal(array, expected)


@pytest.mark.parametrize("sizes", [[1], [0, 5, 0], [3, 65_536, 65_537, 1], [200_000, 131_072, 7]])
@pytest.mark.parametrize("kind", ["<u2", "<u4"])
def test_tensors_take_one_stream_in_their_order(sizes, kind):
    together = np.zeros(sum(sizes), kind)
    MaskStream(bytes(32), b"").add_to(together)
    parts = [np.zeros(size, kind) for size in sizes]
    apply_masks(parts, [MaskStream(bytes(32), b"")], [])
    assert np.array_equal(np.concatenate(parts), together)


@given(st.integers(2, 6), st.sampled_from(["<u2", "<u4"]), st.integers(0, 2**32))
def test_the_masks_of_all_pairs_cancel_in_the_sum(sites, kind, number):
    random = np.random.default_rng(number)
    seeds = {(i, j): random.bytes(32) for i in range(sites) for j in range(i + 1, sites)}
    values = [random.integers(0, 50, (3, 11)).astype(kind) for _ in range(sites)]
    total = np.zeros((3, 11), kind)
    for site, value in enumerate(values):
        masked = {"w": value.copy(), "b": np.array(7, kind)}
        apply_masks(
            in_order(masked),
            [MaskStream(seed, b"r") for (low, _), seed in seeds.items() if low == site],
            [MaskStream(seed, b"r") for (_, high), seed in seeds.items() if high == site],
        )
        assert not np.array_equal(masked["w"], value)
        total += masked["w"]
    assert np.array_equal(total, sum(value.astype(np.int64) for value in values))


def test_two_sites_with_different_contexts_have_different_masks():
    one, other = np.zeros(1000, "<u4"), np.zeros(1000, "<u4")
    MaskStream(bytes(32), b"model A").add_to(one)
    MaskStream(bytes(32), b"model B").add_to(other)
    assert np.count_nonzero(one == other) < 3


@pytest.mark.parametrize("kind", ["<u2", "<u4"])
def test_the_bytes_of_a_masked_update_are_uniform(kind):
    """Chi-square of byte values, of pairs of neighboring bits, and runs, at seeds that are fixed."""
    masked = np.full(2**20, 5, kind)
    MaskStream(bytes(range(32)), b"uniform").add_to(masked)
    data = np.frombuffer(masked.tobytes(), np.uint8)
    counts = np.bincount(data, minlength=256)
    expected = data.size / 256
    chi_square = float(np.sum((counts - expected) ** 2 / expected))
    assert abs(chi_square - 255) < 5 * math.sqrt(2 * 255)
    bits = np.unpackbits(data).astype(np.int8)
    assert abs(int(bits.sum()) - bits.size / 2) < 5 * math.sqrt(bits.size) / 2
    runs = int(np.count_nonzero(np.diff(bits)))
    assert abs(runs - (bits.size - 1) / 2) < 5 * math.sqrt(bits.size) / 2
    lagged = int(np.count_nonzero(data[:-256] == data[256:]))
    assert abs(lagged - data.size / 256) < 5 * math.sqrt(data.size / 256)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_seed_of_another_length_is_refused(size):
    with pytest.raises(ValueError, match="allowed: 32"):
        MaskStream(bytes(size), b"")


@pytest.mark.parametrize(
    "array", [np.zeros(4), np.zeros(4, np.int32), np.zeros(4, ">u4"), np.zeros((4, 4), "<u4")[:, 1]]
)
def test_only_elements_of_a_ring_are_masked(array):
    with pytest.raises(ValueError, match="contiguous unsigned integers"):
        MaskStream(bytes(32), b"").add_to(array)
