import json

import pytest

from consilium.errors import ConfigurationError
from consilium.secagg.identity import format_fingerprint
from consilium.secagg.peers import PinnedPeers
from consilium.secagg.survivor_policy import SurvivorPolicy

NORTH, SOUTH = bytes(range(32)), bytes(range(1, 33))


def test_pinned_hospitals_are_read_back_with_the_hospital_s_demands(tmp_path):
    path = tmp_path / "peers.json"
    assert PinnedPeers.read(path).fingerprints == {}
    PinnedPeers.read(path).pin("south", SOUTH).pin("north", NORTH)
    assert PinnedPeers.read(path).fingerprints == {"north": NORTH, "south": SOUTH}
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "min_survivors": 5, "colluding_sites": 2}))
    PinnedPeers.read(path).pin("east", bytes(32))
    assert PinnedPeers.read(path).policy == SurvivorPolicy(min_survivors=5, colluding_sites=2)


@pytest.mark.parametrize(("others", "k", "fewest"), [
    (0, 0, 3), (4, 0, 3), (5, 0, 4), (9, 0, 6), (9, 1, 6), (9, 2, 7),
])  # fmt: skip
def test_without_a_number_a_sum_is_of_most_of_all_that_are_pinned(tmp_path, others, k, fewest):
    path = tmp_path / "peers.json"
    path.write_text(json.dumps({"colluding_sites": k}))
    pinned = PinnedPeers.read(path)
    for number in range(others):
        pinned = pinned.pin(f"site-{number}", bytes([number] * 32))
    for read in (pinned, PinnedPeers.read(path)):
        assert read.policy == SurvivorPolicy(min_survivors=fewest, colluding_sites=k)
        assert read.follows_pins
    path.write_text(json.dumps({**json.loads(path.read_text()), "min_survivors": 3}))
    assert PinnedPeers.read(path).policy == SurvivorPolicy(colluding_sites=k)
    assert not PinnedPeers.read(path).follows_pins


def test_a_pin_is_never_replaced(tmp_path):
    path = tmp_path / "peers.json"
    peers = PinnedPeers.read(path).pin("north", NORTH)
    assert peers.pin("north", NORTH).fingerprints == {"north": NORTH}
    with pytest.raises(ConfigurationError, match="pinned with another fingerprint"):
        peers.pin("north", SOUTH)
    assert PinnedPeers.read(path).fingerprints == {"north": NORTH}


def test_two_hospitals_can_not_have_one_identity(tmp_path):
    with pytest.raises(ConfigurationError, match="two hospitals with one fingerprint"):
        PinnedPeers.read(tmp_path / "peers.json").pin("north", NORTH).pin("south", NORTH)


@pytest.mark.parametrize(("content", "match"), [
    ("{", "not valid JSON"), ("[]", "a JSON object is allowed"), ('{"peer": {}}', "did you mean 'peers'"),
    ('{"peers": {"../x": "00"}}', "peers"), ('{"peers": {"north": "00"}}', "64 hexadecimal digits"),
    ('{"min_survivors": 2}', "min_survivors"), ('{"min_survivors": "3"}', "min_survivors"),
    ('{"min_survivors": 3.5}', "min_survivors"), ('{"colluding_sites": 127}', "colluding_sites"),
    (json.dumps({"peers": {f"site-{n}": format_fingerprint(bytes([n] * 32)) for n in range(129)}}), "peers"),
])  # fmt: skip
def test_a_file_that_can_not_be_used_is_an_error(tmp_path, content, match):
    path = tmp_path / "peers.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=match):
        PinnedPeers.read(path)
