import pytest

from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity
from consilium.secagg.local_federation import exchange_identities
from consilium.secagg.peers import PEERS_FILE, PinnedPeers


@pytest.fixture
def folders(tmp_path):
    folders = {name: tmp_path / name for name in ("east", "north", "south")}
    for folder in folders.values():
        folder.mkdir()
    return folders


def test_each_site_pins_the_identities_of_all_others(folders):
    exchange_identities(folders)
    identities = {name: SiteIdentity.read(folder / IDENTITY_FILE) for name, folder in folders.items()}
    for name, folder in folders.items():
        pinned = PinnedPeers.read(folder / PEERS_FILE).fingerprints
        assert pinned == {peer: one.fingerprint for peer, one in identities.items() if peer != name}


def test_a_second_exchange_keeps_identities(folders):
    exchange_identities(folders)
    before = (folders["east"] / IDENTITY_FILE).read_bytes()
    exchange_identities(folders)
    assert (folders["east"] / IDENTITY_FILE).read_bytes() == before


def test_two_sites_get_none_as_they_could_not_aggregate(folders):
    del folders["south"]
    exchange_identities(folders)
    assert not any(list(folder.iterdir()) for folder in folders.values())
