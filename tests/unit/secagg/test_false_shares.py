"""A site that gives false shares is named, stops nobody for long, and can't have an honest site named."""

import secrets
from itertools import combinations

import pytest

from consilium.secagg.attempt_keys import hash_share, seal_shares
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.messages import Confirmation, Reveal, ShareBundle
from consilium.secagg.server_session import ServerSession
from consilium.secagg.shamir import split_secret
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy
from secagg.hospitals import Collected, Hospitals, add_masks, context, draw_vectors, names_of, run_attempt

LIAR = "site-01"


def flip(share: bytes) -> bytes:
    return bytes([0, *(byte ^ 1 for byte in share[1:])])


def falsify(reveal: Reveal, kind: str, of: str) -> Reveal:
    if kind == "self_secret":
        return reveal.model_copy(update={kind: flip(reveal.self_secret)})
    shares = dict(getattr(reveal, kind))
    shares[of] = flip(shares[of])
    return reveal.model_copy(update={kind: shares})


def signed_again(name: str, site: SiteSession, bundle: ShareBundle, change) -> ShareBundle:
    """A bundle as its own site signs it, with other content: what a site with changed software sends."""
    sealed = {}
    for receiver, one in bundle.sealed.items():
        other = one.model_copy(update=change(receiver, one))
        statement = other.statement(bundle.context, site._digest, name, receiver)
        sealed[receiver] = other.model_copy(update={"signature": site._identity.sign(statement)})
    return bundle.model_copy(update={"sealed": sealed})


def unreadable(receivers):
    """A liar whose shares for some receivers can't be decrypted."""

    def spoil(name, site, bundle):
        if name != LIAR:
            return bundle
        return signed_again(
            name, site, bundle,
            lambda receiver, one: {"ciphertext": secrets.token_bytes(82)} if receiver in receivers else {},
        )  # fmt: skip

    return spoil


def inconsistent(receivers):
    """A liar whose shares for some receivers are of another secret, with the hashes of these shares."""

    def spoil(name, site, bundle):
        if name != LIAR:
            return bundle
        roster, digest, keys = site._roster, site._digest, site._keys
        others = {
            kind: split_secret(secrets.token_bytes(32), threshold=3, count=len(roster.names))
            for kind in ("self", "key")
        }

        def change(receiver, one):
            if receiver not in receivers:
                return {}
            place = roster.names.index(receiver)
            shares = (others["self"][place], others["key"][place])
            peer = roster.advertisements[place]
            return {
                "ciphertext": seal_shares(
                    bundle.context, digest, keys.channel_key, peer.channel_key,
                    sender=name, receiver=receiver, shares=shares,
                ),
                "self_hash": hash_share(bundle.context, digest, "self", name, receiver, shares[0]),
                "key_hash": hash_share(bundle.context, digest, "key", name, receiver, shares[1]),
            }  # fmt: skip

        return signed_again(name, site, bundle, change)

    return spoil


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("kind", "of"), [("self_secret", ""), ("self_shares", "site-02"), ("key_shares", "site-04")]
)
@pytest.mark.parametrize("liar", ["site-00", "site-03"])
def test_who_gives_something_false_at_the_end_is_named_and_the_others_open_the_sum(kind, of, liar):
    run = Collected(5, drops=["site-04"])
    for name, reveal in run.reveals.items():
        if name == liar:
            with pytest.raises(SecAggRefusal, match=f"{liar}: it gave another"):
                run.server.add_reveal(falsify(reveal, kind, of))
        else:
            run.server.add_reveal(reveal)
    assert run.opens()
    assert run.server.blame.culprits.keys() == {liar}
    assert not run.server.blame.spared


def test_shares_of_another_round_are_false_ones():
    earlier, run = Collected(5), Collected(5)
    old = earlier.reveals["site-03"].self_shares["site-02"]
    reveal = run.reveals["site-03"]
    mixed = reveal.model_copy(update={"self_shares": {**reveal.self_shares, "site-02": old}})
    with pytest.raises(SecAggRefusal, match="another share of the self-mask secret of site-02"):
        run.server.add_reveal(mixed)
    with pytest.raises(SecAggRefusal, match="another job, round"):
        run.server.add_reveal(reveal.model_copy(update={"context": context(attempt=2)}))
    assert run.server.blame.culprits.keys() == {"site-03"}


def test_with_too_few_honest_ones_no_wrong_sum_is_opened_and_the_liar_is_named():
    run = Collected(4, drops=["site-03"])
    for name, reveal in run.reveals.items():
        if name == "site-00":
            with pytest.raises(SecAggRefusal, match="mask key of site-03"):
                run.server.add_reveal(falsify(reveal, "key_shares", "site-03"))
        else:
            run.server.add_reveal(reveal)
    with pytest.raises(SecAggFailure, match="2 sites gave their shares, and at least 3"):
        run.server.open_sum()
    assert run.server.blame.culprits.keys() == {"site-00"}


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("spoil", [unreadable, inconsistent])
def test_useless_shares_of_a_site_that_stays_stop_nobody(spoil, count):
    """It gives its own secret itself; who lacks a share of it says so, and blames nobody."""
    others = [name for name in names_of(5) if name != LIAR]
    run = Collected(5, spoil=spoil(others[:count]))
    for reveal in run.reveals.values():
        run.server.add_reveal(reveal)
    assert run.opens()
    assert not run.server.blame.spared
    assert not run.server.blame.culprits


@pytest.mark.parametrize("drops", [{"drops": [LIAR]}, {"mute": [LIAR]}], ids=["sends nothing", "is mute"])
def test_of_a_site_that_drops_out_with_one_false_share_the_secret_is_recovered(drops):
    run = Collected(6, spoil=inconsistent(["site-00"]), **drops)
    for reveal in run.reveals.values():
        run.server.add_reveal(reveal)
    assert run.opens()
    assert run.server.blame.culprits.keys() == {LIAR}


@pytest.mark.parametrize("drops", [{"drops": [LIAR]}, {"mute": [LIAR]}], ids=["sends nothing", "is mute"])
def test_a_site_that_drops_out_with_shares_of_no_secret_is_named(drops):
    run = Collected(6, spoil=inconsistent(["site-00", "site-02", "site-03"]), **drops)
    for reveal in run.reveals.values():
        run.server.add_reveal(reveal)
    with pytest.raises(SecAggFailure, match=f"secrets of {LIAR} can't be recovered"):
        run.server.open_sum()
    assert run.server.blame.culprits == {LIAR: "it gave the other sites shares that are not of one secret"}


@pytest.mark.parametrize("drops", [{"drops": [LIAR]}, {"mute": [LIAR]}], ids=["sends nothing", "is mute"])
def test_a_site_that_drops_out_with_unreadable_shares_is_spared_before_anything_is_opened(drops):
    """The sites have opened nothing, so they take part in another attempt without it."""
    with pytest.raises(SecAggFailure, match=f"secrets of {LIAR} can't be recovered") as caught:
        Collected(5, spoil=unreadable(["site-00", "site-02"]), **drops)
    (server,) = {
        frame.frame.f_locals["self"]
        for frame in caught.traceback
        if isinstance(frame.frame.f_locals.get("self"), ServerSession)
    }
    assert server.blame.spared.keys() == {LIAR}
    assert not server.blame.culprits


def lies_of(run: Collected, liars) -> None:
    """Liars falsify all that they give; the others' is as it is."""
    for name, reveal in run.reveals.items():
        if name in liars:
            for kind in ("self_shares", "key_shares"):
                for of in getattr(reveal, kind):
                    with pytest.raises(SecAggRefusal):
                        run.server.add_reveal(falsify(reveal, kind, of))
        else:
            run.server.add_reveal(reveal)


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("liars", [pair for size in (1, 2) for pair in combinations(names_of(5), size)])
def test_no_liars_can_have_an_honest_site_named(liars):
    """Whatever of their shares they falsify, and whomever of them drops out."""
    for dropped in {None, *liars}:
        run = Collected(5, drops=[] if dropped is None else [dropped])
        lies_of(run, {*liars} - {dropped})
        assert run.server.blame.culprits.keys() <= {*liars}
        assert not run.server.blame.spared


def test_a_site_that_says_of_everybody_that_their_shares_are_useless_blames_nobody():
    run = Collected(5)
    server, sites = ServerSession(run.of), run.hospitals.sessions(run.of)
    for site in sites.values():
        server.add_advertisement(site.advertise())
    roster = server.close_advertising()
    for site in sites.values():
        server.add_shares(site.share(roster))
    for name, inbox in server.close_sharing().items():
        sites[name].mask_seeds(inbox)
        server.add_masked(name)
    left = server.close_masking()
    slander = sorted({*run.hospitals.names} - {LIAR})
    for name in left.survivors:
        said = sites[name].confirm(left)
        server.add_confirmation(said.model_copy(update={"lacking": slander}) if name == LIAR else said)
    confirmed = server.close_confirming()
    for name in left.survivors:
        reveal = sites[name].reveal(confirmed)
        server.add_reveal(reveal.model_copy(update={"self_shares": {}}) if name == LIAR else reveal)
    assert len(server.open_sum()) == 5
    assert not server.blame.culprits
    assert not server.blame.spared


def test_a_site_lacks_shares_of_sharers_only():
    run = Collected(4)
    server, sites = ServerSession(run.of), run.hospitals.sessions(run.of)
    for site in sites.values():
        server.add_advertisement(site.advertise())
    roster = server.close_advertising()
    for site in sites.values():
        server.add_shares(site.share(roster))
    for name, inbox in server.close_sharing().items():
        sites[name].mask_seeds(inbox)
        server.add_masked(name)
    said: Confirmation = sites["site-00"].confirm(server.close_masking())
    for names in (["site-00"], ["stranger"]):
        with pytest.raises(SecAggRefusal, match="lacks shares of sites that sent it none"):
            server.add_confirmation(said.model_copy(update={"lacking": names}))


def test_a_bundle_that_its_site_did_not_sign_is_refused_before_it_reaches_anybody():
    hospitals = Hospitals(names_of(4))
    of = context()
    server, sites = ServerSession(of), hospitals.sessions(of)
    for site in sites.values():
        server.add_advertisement(site.advertise())
    bundle = sites["site-00"].share(server.close_advertising())
    one = bundle.sealed["site-01"].model_copy(update={"ciphertext": bytes(82)})
    with pytest.raises(SecAggRefusal, match="its shares for site-01 are not signed by it"):
        server.add_shares(bundle.model_copy(update={"sealed": {**bundle.sealed, "site-01": one}}))
    server.add_shares(bundle)


def test_a_flood_of_messages_changes_nothing():
    run = Collected(5)
    for _ in range(200):
        with pytest.raises(SecAggRefusal):
            run.server.add_reveal(falsify(run.reveals["site-00"], "self_shares", "site-02"))
    for name, reveal in run.reveals.items():
        if name != "site-00":
            run.server.add_reveal(reveal)
            with pytest.raises(SecAggRefusal, match="has answered"):
                run.server.add_reveal(reveal)
    assert run.opens()
    assert run.server.blame.culprits.keys() == {"site-00"}


@pytest.mark.parametrize("changes", [
    {"mask_key": bytes(32)}, {"channel_key": bytes([1, *bytes(31)])}, {"mask_key": "channel_key"},
])  # fmt: skip
def test_keys_for_which_all_others_would_refuse_the_roster_are_refused_first(changes):
    hospitals = Hospitals(names_of(4))
    keys = hospitals.session(LIAR, context()).advertise()
    changes = {
        field: getattr(keys, value) if isinstance(value, str) else value for field, value in changes.items()
    }
    false = keys.model_copy(update=changes)
    false = false.model_copy(update={"signature": hospitals.identities[LIAR].sign(false.statement)})
    with pytest.raises(SecAggRefusal, match=r"low order|advertised already"):
        ServerSession(context()).add_advertisement(false)


def test_a_demand_that_can_not_be_met_costs_the_one_that_makes_it_only():
    hospitals = Hospitals(names_of(5))
    of, vectors = context(), draw_vectors(hospitals.names)
    sites = hospitals.sessions(of)
    sites[LIAR] = hospitals.session(LIAR, of, policy=SurvivorPolicy(min_survivors=128))
    others = {name: vector for name, vector in vectors.items() if name != LIAR}
    total = run_attempt(sites, of, vectors)
    assert (total == sum(others.values())).all()


def test_a_demand_for_all_by_a_site_that_then_drops_out_is_spared_the_next_time():
    hospitals = Hospitals(names_of(5))
    server = ServerSession(context())
    for name in hospitals.names:
        policy = SurvivorPolicy(min_survivors=5) if name == LIAR else SurvivorPolicy()
        server.add_advertisement(hospitals.session(name, context(), policy=policy).advertise())
    server.close_advertising()
    with pytest.raises(SecAggFailure):
        server.close_sharing()
    assert not server.blame.spared  # nobody shared, so no demand was met
    server, sites = ServerSession(context()), {}
    for name in hospitals.names:
        policy = SurvivorPolicy(min_survivors=5) if name == LIAR else SurvivorPolicy()
        sites[name] = hospitals.session(name, context(), policy=policy)
        server.add_advertisement(sites[name].advertise())
    roster = server.close_advertising()
    for name in hospitals.names:
        if name != LIAR:
            server.add_shares(sites[name].share(roster))
    with pytest.raises(SecAggFailure, match="4 sites shared their secrets, and at least 5"):
        server.close_sharing()
    assert server.blame.spared.keys() == {LIAR}


def test_masks_of_a_site_with_useless_shares_cancel_as_others_do():
    run = Collected(5, spoil=unreadable(names_of(5)))
    for reveal in run.reveals.values():
        run.server.add_reveal(reveal)
    assert (add_masks(run.total, run.server.open_sum()) == run.expected).all()
