from contextlib import suppress
from itertools import combinations

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.secagg.shamir import PRIME, combine_shares, split_secret

SECRETS = st.binary(min_size=32, max_size=32) | st.sampled_from([bytes(32), b"\xff" * 32])


@st.composite
def sharings(draw):
    count = draw(st.integers(1, 64))
    threshold = draw(st.integers(1, count))
    places = draw(st.permutations(range(1, count + 1)))[:threshold]
    return draw(SECRETS), threshold, count, places


@given(sharings())
@settings(max_examples=examples(60))
def test_any_shares_as_many_as_the_threshold_give_the_secret(sharing):
    secret, threshold, count, places = sharing
    shares = split_secret(secret, threshold=threshold, count=count)
    assert combine_shares({place: shares[place - 1] for place in places}) == secret


def test_every_choice_of_six_shares_gives_the_secret():
    secret = bytes(range(32))
    for threshold in range(1, 7):
        shares = split_secret(secret, threshold=threshold, count=6)
        for places in combinations(range(1, 7), threshold):
            assert combine_shares({place: shares[place - 1] for place in places}) == secret


@given(SECRETS, SECRETS, st.integers(2, 8))
@settings(max_examples=examples(30))
def test_fewer_shares_fit_every_secret(secret, other, threshold):
    """For any other secret there is a further share that leads to it."""
    shares = split_secret(secret, threshold=threshold, count=threshold)
    few = {place: int.from_bytes(shares[place - 1], "big") for place in range(1, threshold)}
    points = {0: int.from_bytes(other, "big"), **few}
    y = 0
    for x, value in points.items():
        weight = 1
        for also in points:
            if also != x:
                weight = weight * (threshold - also) * pow(x - also, -1, PRIME) % PRIME
        y = (y + value * weight) % PRIME
    known = {place: shares[place - 1] for place in range(1, threshold)}
    assert combine_shares({**known, threshold: y.to_bytes(33, "big")}) == other


def test_shares_of_one_secret_differ_each_time():
    first, second = (split_secret(bytes(32), threshold=2, count=3) for _ in range(2))
    assert not {*first} & {*second}


@given(st.integers(0, 32), st.integers(1, 255))
@settings(max_examples=examples(40))
def test_a_changed_share_never_gives_the_secret(position, change):
    secret = bytes(range(32))
    shares = dict(enumerate(split_secret(secret, threshold=3, count=3), start=1))
    changed = bytearray(shares[2])
    changed[position] ^= change
    with suppress(ValueError):  # most such results are no 32 bytes
        assert combine_shares({**shares, 2: bytes(changed)}) != secret


@pytest.mark.parametrize("shares", [{}, {0: bytes(33)}, {1: bytes(32)}, {1: PRIME.to_bytes(33, "big")}])
def test_what_is_no_share_is_an_error(shares):
    with pytest.raises(ValueError, match="share"):
        combine_shares(shares)


@pytest.mark.parametrize("value", [2**256, PRIME - 1])
def test_a_result_that_is_no_secret_is_an_error(value):
    with pytest.raises(ValueError, match="not of one secret"):
        combine_shares({1: value.to_bytes(33, "big")})


@pytest.mark.parametrize(("length", "threshold", "count"), [(31, 1, 1), (33, 1, 1), (32, 0, 3), (32, 4, 3)])
def test_what_can_not_be_shared_is_an_error(length, threshold, count):
    with pytest.raises(ValueError, match=r"secret has|threshold of"):
        split_secret(bytes(length), threshold=threshold, count=count)


def test_the_field_is_a_prime_field():
    """Miller and Rabin's test with 40 bases."""
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 42):
        powers = [pow(base, odd * 2**step, PRIME) for step in range(twos)]
        assert powers[0] == 1 or PRIME - 1 in powers
