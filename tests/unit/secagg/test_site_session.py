"""What a site refuses of a malicious server, of other sites and of the past."""

from itertools import combinations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.identity import SiteIdentity
from consilium.secagg.messages import (
    ConfirmationList,
    Roster,
    ShareInbox,
    SumContext,
    SurvivorList,
    digest_parameters,
)
from consilium.secagg.server_session import ServerSession
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy
from secagg.hospitals import LENGTH, Hospitals, context, names_of, run_attempt


class Attempt:
    """An attempt of some sites up to a step, and what the server has of it."""

    def __init__(self, hospitals: Hospitals, of: SumContext | None = None, **options) -> None:
        self.of = of or context()
        self.hospitals = hospitals
        self.server = ServerSession(self.of)
        self.sites = {name: hospitals.session(name, self.of, **options) for name in hospitals.names}

    def advertise(self) -> Roster:
        for site in self.sites.values():
            self.server.add_advertisement(site.advertise())
        return self.server.close_advertising()

    def share(self) -> dict[str, ShareInbox]:
        self.roster = self.advertise()
        self.bundles = {name: site.share(self.roster) for name, site in self.sites.items()}
        for bundle in self.bundles.values():
            self.server.add_shares(bundle)
        return self.server.close_sharing()

    def mask(self, dropped: tuple[str, ...] = ()) -> SurvivorList:
        self.inboxes = self.share()
        for name, site in self.sites.items():
            if name not in dropped:
                site.mask_seeds(self.inboxes[name])
                self.server.add_masked(name)
        return self.server.close_masking()

    def confirm(self, dropped: tuple[str, ...] = ()) -> ConfirmationList:
        self.survivors = self.mask(dropped)
        for name in self.survivors.survivors:
            self.server.add_confirmation(self.sites[name].confirm(self.survivors))
        return self.server.close_confirming()


def refuses(match: str):
    return pytest.raises(SecAggRefusal, match=match)


@pytest.fixture
def hospitals(tmp_path):
    return Hospitals(names_of(5), tmp_path)


def test_keys_of_a_hospital_that_is_not_pinned_are_refused(hospitals):
    attempt = Attempt(hospitals)
    roster = attempt.advertise()
    unpinned = {name: pin for name, pin in hospitals.pins.items() if name not in ("site-00", "site-03")}
    site = SiteSession(
        context=context(attempt=2), site="site-00", identity=hospitals.identities["site-00"], peers=unpinned,
        policy=SurvivorPolicy(), memory=hospitals.memories["site-00"], subject=bytes(32),
    )  # fmt: skip
    of = context(attempt=2)
    again = Attempt(hospitals, of)
    again.sites["site-00"] = site
    roster = again.advertise()
    with refuses("site-03 is not among the hospitals that site-00 pinned"):
        site.share(roster)


def test_a_second_certificate_in_a_hospital_s_name_is_not_its_identity(hospitals):
    attempt = Attempt(hospitals)
    hospitals.identities["site-03"] = SiteIdentity(Ed25519PrivateKey.generate())
    attempt.sites["site-03"] = hospitals.session("site-03", attempt.of)
    with refuses("the identity of site-03 is not the one that site-00 pinned"):
        attempt.sites["site-00"].share(attempt.advertise())


@pytest.mark.parametrize("field", ["channel_key", "mask_key", "self_commitment", "policy"])
def test_changed_keys_are_refused_by_everybody(hospitals, field):
    attempt = Attempt(hospitals)
    roster = attempt.advertise()
    value = (
        SurvivorPolicy(min_survivors=4) if field == "policy" else Ed25519PrivateKey.generate().public_key()
    )
    if field != "policy":
        value = value.public_bytes_raw()
    forged = [
        one.model_copy(update={field: value}) if one.site == "site-02" else one
        for one in roster.advertisements
    ]
    changed = roster.model_copy(update={"advertisements": forged})
    for name, site in attempt.sites.items():
        match = "has other keys in its name" if name == "site-02" else "are not signed by its identity"
        with refuses(match):
            site.share(changed)


def test_a_roster_without_the_site_itself_is_refused(hospitals):
    attempt = Attempt(hospitals)
    roster = attempt.advertise()
    others = roster.model_copy(update={"advertisements": roster.advertisements[1:]})
    with refuses("lacks this site"):
        attempt.sites["site-00"].share(others)


def test_a_second_set_of_peers_is_refused_and_the_same_again_is_answered_alike(hospitals):
    attempt = Attempt(hospitals)
    roster = attempt.advertise()
    site = attempt.sites["site-00"]
    first = site.share(roster)
    assert site.share(roster) == first
    with refuses("share: a second message"):
        site.share(roster.model_copy(update={"advertisements": roster.advertisements[:-1]}))


def test_signed_keys_of_an_earlier_attempt_are_refused(hospitals):
    old = Attempt(hospitals).advertise()
    attempt = Attempt(hospitals, context(attempt=2))
    roster = attempt.advertise()
    mixed = [old.advertisements[3] if one.site == "site-03" else one for one in roster.advertisements]
    with refuses("the keys of site-03 are of another job, round, attempt"):
        attempt.sites["site-00"].share(roster.model_copy(update={"advertisements": mixed}))


def test_fewer_sites_than_the_threshold_do_not_begin(tmp_path):
    hospitals = Hospitals(names_of(5), tmp_path)
    attempt = Attempt(hospitals, policy=SurvivorPolicy(min_survivors=5))
    advertisements = [site.advertise() for site in attempt.sites.values()]
    roster = Roster(context=attempt.of, advertisements=advertisements[:4])
    with refuses("4 sites in all, and 5 must be left"):
        attempt.sites["site-00"].share(roster)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("of", [
    context(attempt=7), context(round_number=2), context(job="another"),
    context().model_copy(update={"parameters": bytes(32)}),
])  # fmt: skip
def test_messages_of_another_sum_are_refused_in_every_step(hospitals, of):
    attempt = Attempt(hospitals)
    confirmations = attempt.confirm()
    fresh = Attempt(Hospitals(names_of(5)))
    site = fresh.sites["site-00"]
    site.advertise()
    other = {"context": of}
    for step, message in (
        (site.share, attempt.roster),
        (site.mask_seeds, attempt.inboxes["site-00"]),
        (site.confirm, attempt.survivors),
        (site.reveal, confirmations),
    ):
        with refuses("another job, round, attempt or parameters"):
            step(message.model_copy(update=other))


def test_shares_that_their_sender_did_not_sign_for_this_sum_and_site_are_refused(hospitals):
    """Only a server can have changed or exchanged them, so nobody is blamed and nothing is masked."""
    attempt = Attempt(hospitals)
    inboxes = attempt.share()
    site, inbox = attempt.sites["site-00"], inboxes["site-00"]
    right = inbox.sealed["site-01"]
    changed = [right.model_copy(update={field: bytes([value[0] ^ 1, *value[1:]])}) for field, value in right]
    later = Attempt(hospitals, context(attempt=2)).share()["site-00"].sealed["site-01"]
    other_receiver = attempt.bundles["site-01"].sealed["site-02"]
    for sealed in (*changed, later, other_receiver, inbox.sealed["site-02"]):
        with refuses("the shares of site-01 for site-00 were changed or are of another sum"):
            site.mask_seeds(inbox.model_copy(update={"sealed": {**inbox.sealed, "site-01": sealed}}))
    assert len(site.mask_seeds(inbox)) == 5  # a refusal has changed nothing


def test_shares_of_too_few_or_of_strangers_are_refused(hospitals):
    attempt = Attempt(hospitals)
    inbox = attempt.share()["site-00"]
    site = attempt.sites["site-00"]
    with refuses("shared their secrets: 2 sites, and at least 3"):
        site.mask_seeds(inbox.model_copy(update={"sealed": {"site-01": inbox.sealed["site-01"]}}))
    with refuses("not in this sum: stranger"):
        site.mask_seeds(
            inbox.model_copy(update={"sealed": {**inbox.sealed, "stranger": inbox.sealed["site-01"]}})
        )


def test_the_masks_of_an_attempt_are_given_out_once(hospitals):
    attempt = Attempt(hospitals)
    inbox = attempt.share()["site-00"]
    attempt.sites["site-00"].mask_seeds(inbox)
    with refuses("one vector is masked in an attempt"):
        attempt.sites["site-00"].mask_seeds(inbox)


def test_steps_are_taken_in_order(hospitals):
    attempt = Attempt(hospitals)
    confirmations = attempt.confirm()
    later = {"mask_seeds": attempt.inboxes["site-00"], "confirm": attempt.survivors, "reveal": confirmations}
    for step, message in later.items():
        site = Attempt(Hospitals(names_of(5))).sites["site-00"]
        site.advertise()
        with refuses(f"{step}: it comes after"):
            getattr(site, step)(message)


def lists_of(survivors: SurvivorList) -> list[SurvivorList]:
    """Every other list of survivors of the same sharers."""
    names = survivors.sharers
    chosen = [list(some) for size in range(1, len(names) + 1) for some in combinations(names, size)]
    return [survivors.model_copy(update={"survivors": some}) for some in chosen]


def test_a_second_list_of_survivors_is_refused_whatever_it_is(hospitals):
    attempt = Attempt(hospitals)
    survivors = attempt.mask()
    site = attempt.sites["site-00"]
    first = site.confirm(survivors)
    for other in lists_of(survivors):
        if other != survivors:
            with refuses("confirm: a second message"):
                site.confirm(other)
    assert site.confirm(survivors) == first


def test_a_list_below_the_threshold_or_without_the_site_is_refused(hospitals):
    attempt = Attempt(hospitals)
    survivors = attempt.mask()
    site = attempt.sites["site-00"]
    for other in lists_of(survivors):
        if len(other.survivors) < 3 or "site-00" not in other.survivors:
            with refuses("left: |not among the survivors"):
                site.confirm(other)


def test_a_list_of_other_sharers_is_refused(hospitals):
    attempt = Attempt(hospitals)
    survivors = attempt.mask()
    fewer = survivors.model_copy(update={"sharers": survivors.sharers[:-1]})
    with refuses("other sharers"):
        attempt.sites["site-00"].confirm(fewer)
    more = survivors.model_copy(update={"survivors": [*survivors.survivors, "stranger"]})
    with refuses("survivors that are not among its sharers"):
        attempt.sites["site-00"].confirm(more)


def test_a_server_that_shows_two_lists_opens_neither(hospitals):
    """It can't get self-mask shares of a site from some and mask-key shares of it from others."""
    attempt = Attempt(hospitals)
    survivors = attempt.mask()
    without = survivors.model_copy(update={"survivors": survivors.survivors[:-1]})
    shown = {name: survivors if name in ("site-00", "site-04") else without for name in hospitals.names}
    signed = {name: attempt.sites[name].confirm(seen).signature for name, seen in shown.items()}
    for asked in hospitals.names:
        with refuses("did not confirm the list of survivors that this site saw"):
            attempt.sites[asked].reveal(ConfirmationList(context=attempt.of, signatures=signed))
        same = {name: one for name, one in signed.items() if shown[name] is shown[asked]}
        if len(same) < 3:
            with refuses("confirmed the list of survivors: 2 sites, and at least 3"):
                attempt.sites[asked].reveal(ConfirmationList(context=attempt.of, signatures=same))
        else:
            reveal = attempt.sites[asked].reveal(ConfirmationList(context=attempt.of, signatures=same))
            assert reveal.key_shares.keys() == {"site-04"}
            assert "site-04" not in reveal.self_shares


def test_fewer_confirmations_than_the_threshold_and_false_ones_are_refused(hospitals):
    attempt = Attempt(hospitals)
    confirmations = attempt.confirm()
    site = attempt.sites["site-00"]
    signatures = confirmations.signatures
    two = dict(list(signatures.items())[:2])
    with refuses("confirmed the list of survivors: 2 sites"):
        site.reveal(confirmations.model_copy(update={"signatures": two}))
    swapped = {**signatures, "site-01": signatures["site-02"]}
    with refuses("site-01 did not confirm"):
        site.reveal(confirmations.model_copy(update={"signatures": swapped}))
    with refuses("stranger did not confirm"):
        site.reveal(confirmations.model_copy(update={"signatures": {**signatures, "stranger": bytes(64)}}))


@pytest.mark.parametrize("dropped", [(), ("site-03",), ("site-03", "site-04")])
def test_a_site_gives_one_kind_of_share_of_each_other_and_of_all_of_them_once(hospitals, dropped):
    attempt = Attempt(hospitals)
    confirmations = attempt.confirm(dropped)
    for name in attempt.survivors.survivors:
        reveal = attempt.sites[name].reveal(confirmations)
        assert reveal.key_shares.keys() == {*dropped}
        assert reveal.self_shares.keys() == {*hospitals.names} - {*dropped, name}
        assert attempt.sites[name].reveal(confirmations) == reveal
        fewer = dict(list(confirmations.signatures.items())[1:])
        with refuses("reveal: a second message"):
            attempt.sites[name].reveal(confirmations.model_copy(update={"signatures": fewer}))


def test_an_attempt_is_never_begun_twice_even_after_a_restart(hospitals):
    hospitals.session("site-00", context(attempt=5)).advertise()
    for attempt in (1, 4, 5):
        with refuses(f"attempt {attempt} of this job is refused"):
            hospitals.session("site-00", context(round_number=9, attempt=attempt)).advertise()
    assert hospitals.session("site-00", context(attempt=6)).advertise()
    assert hospitals.session("site-00", context(job="other")).advertise()


def test_a_site_that_restarted_has_no_secrets_of_the_attempt(hospitals):
    attempt = Attempt(hospitals)
    confirmations = attempt.confirm()
    restarted = hospitals.session("site-00", attempt.of)
    with refuses("reveal: it comes after confirm"):
        restarted.reveal(confirmations)


def vectors_of(names):
    return {name: np.arange(LENGTH, dtype=np.uint32) for name in names}


def test_a_round_that_was_opened_is_opened_again_for_the_same_survivors_only(hospitals):
    """Two sums of the same vectors would give away the vector of a site that is in one of them."""
    vectors = vectors_of(hospitals.names)
    first = run_attempt(hospitals.sessions(context()), context(), vectors)
    retry = context(attempt=2)
    with refuses("opened a sum of this round with other survivors"):
        run_attempt(hospitals.sessions(retry), retry, vectors, {"site-04": 2})
    again = context(attempt=3)
    np.testing.assert_array_equal(run_attempt(hospitals.sessions(again), again, vectors), first)
    following = context(round_number=2, attempt=4)
    assert run_attempt(hospitals.sessions(following), following, vectors, {"site-04": 2}) is not None


def test_a_round_that_was_opened_is_not_opened_again_by_other_rules(hospitals):
    """With 2 cases counted at most, and then 9, the difference would be the updates of the larger sites."""
    vectors = vectors_of(hospitals.names)
    run_attempt(hospitals.sessions(context()), context(), vectors)
    other = context(attempt=2).model_copy(update={"parameters": digest_parameters({"full_weight_cases": 9})})
    with refuses("or other parameters"):
        run_attempt(hospitals.sessions(other), other, vectors)


def test_an_attempt_that_failed_before_it_was_opened_may_be_repeated_with_other_survivors(hospitals):
    Attempt(hospitals).confirm()
    retry = context(attempt=2)
    vectors = vectors_of(hospitals.names)
    assert run_attempt(hospitals.sessions(retry), retry, vectors, {"site-04": 2}) is not None


def test_a_resumed_job_with_another_id_is_held_to_what_the_site_s_vector_was_made_from(hospitals):
    subject = bytes(range(32))
    first = Attempt(hospitals, subject=subject)
    confirmations = first.confirm()
    first.sites["site-00"].reveal(confirmations)
    resumed = Attempt(hospitals, context(job="resumed"), subject=subject)
    fewer = resumed.confirm(("site-04",))
    with refuses("with other survivors"):
        resumed.sites["site-00"].reveal(fewer)


def test_a_server_that_names_another_subject_opens_no_second_sum_of_a_round(hospitals):
    first = Attempt(hospitals, subject=bytes(32))
    first.sites["site-00"].reveal(first.confirm())
    retry = Attempt(hospitals, context(attempt=2), subject=bytes(range(32)))
    fewer = retry.confirm(("site-04",))
    with refuses("with other survivors"):
        retry.sites["site-00"].reveal(fewer)


def test_two_attempts_have_no_seed_in_common(hospitals):
    seeds = []
    for number in (1, 2):
        attempt = Attempt(hospitals, context(attempt=number))
        inboxes = attempt.share()
        seeds += [one.seed for one in attempt.sites["site-00"].mask_seeds(inboxes["site-00"])]
    assert len({*seeds}) == 10


def test_two_sites_have_one_seed_with_opposite_signs(hospitals):
    attempt = Attempt(hospitals)
    inboxes = attempt.share()
    of = {name: site.mask_seeds(inboxes[name]) for name, site in attempt.sites.items()}
    pairs = {name: dict(one[:-1]) for name, one in of.items()}
    for one, other in combinations(hospitals.names, 2):
        (shared,) = pairs[one].keys() & pairs[other].keys()
        assert pairs[one][shared] == -pairs[other][shared] == 1
    own = [one[-1] for one in of.values()]
    assert {one.sign for one in own} == {1}
    assert len({one.seed for one in own}) == 5
