import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consilium.recipes.round_cost import round_costs
from consilium.secagg.identity import SiteIdentity
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import ConfirmationList, ShareInbox, SumContext, SurvivorList
from consilium.secagg.server_session import ServerSession
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy


def message_bytes(count, folder):
    """What the first of some sites sends in an attempt, beside its vector."""
    context = SumContext(job="job", round=1, attempt=1, parameters=bytes(32))
    names = [f"hospital-{number:02d}" for number in range(count)]
    identities = {name: SiteIdentity(Ed25519PrivateKey.generate()) for name in names}
    pins = {name: one.fingerprint for name, one in identities.items()}
    sites = [
        SiteSession(
            context=context, site=name, identity=identities[name], peers=pins, policy=SurvivorPolicy(),
            memory=SecAggMemory(folder / f"{name}.sqlite"), subject=bytes(32),
        )
        for name in names
    ]  # fmt: skip
    server, sent = ServerSession(context), 0

    def collect(answers, add):
        nonlocal sent
        sent += len(answers[0].to_json())
        for one in answers:
            add(one)

    collect([one.advertise() for one in sites], server.add_advertisement)
    roster = server.close_advertising()
    collect([one.share(roster) for one in sites], server.add_shares)
    inboxes: dict[str, ShareInbox] = server.close_sharing()
    for name, one in zip(names, sites, strict=True):
        one.mask_seeds(inboxes[name])
        server.add_masked(name)
    survivors: SurvivorList = server.close_masking()
    collect([one.confirm(survivors) for one in sites], server.add_confirmation)
    signed: ConfirmationList = server.close_confirming()
    collect([one.reveal(signed) for one in sites], server.add_reveal)
    return sent


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("sites", [3, 12])
def test_a_site_sends_the_bytes_that_are_announced(sites, tmp_path):
    _, masked, _ = round_costs(1000, sites, 32)
    assert masked.sent == pytest.approx(4000 + message_bytes(sites, tmp_path), rel=0.02)


@pytest.mark.parametrize(("bits", "most"), [(32, 4.2), (16, 2.2)])
@pytest.mark.parametrize("sites", [3, 10, 64])
def test_masks_add_no_more_than_a_twentieth_to_the_bytes_of_a_network(bits, most, sites):
    clear, masked, encrypted = round_costs(470_000, sites, bits)
    assert masked.sent <= most * 470_000
    assert masked.server_memory <= clear.server_memory
    assert masked.server_disk == 0
    assert encrypted.sent > 10 * clear.sent


def test_costs_grow_with_parameters_and_sites():
    small, large, many = (round_costs(*size, 32)[1] for size in ((10**5, 3), (10**6, 3), (10**5, 30)))
    for one in (large, many):
        assert one.sent > small.sent
        assert one.site_seconds > small.site_seconds
        assert one.server_seconds > small.server_seconds
