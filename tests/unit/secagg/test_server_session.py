"""The sum is exact for every pattern of sites that drop out, or it stays hidden."""

import itertools

import numpy as np
import pytest

from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.messages import Advertisement, Confirmation, Reveal, ShareBundle
from consilium.secagg.server_session import ServerSession, ServerStep
from consilium.secagg.survivor_policy import SurvivorPolicy
from secagg.hospitals import (
    LENGTH,
    NEVER,
    Collected,
    Hospitals,
    add_masks,
    context,
    draw_vectors,
    expected_sum,
    names_of,
    outcome,
    run_attempt,
)  # fmt: skip

GENERATOR = np.random.default_rng(1)


def check_pattern(hospitals, drops):
    names, of = hospitals.names, context()
    vectors = draw_vectors(names)
    advertised = sum(step > 0 for step in drops.values())
    threshold = hospitals.policy.threshold(advertised)
    expected = expected_sum(names, vectors, drops, threshold)
    got = outcome(hospitals.sessions(of), of, vectors, drops)
    assert (got is None) == (expected is None), drops
    if expected is not None:
        np.testing.assert_array_equal(got, expected, str(drops))


def test_every_pattern_of_three_sites():
    hospitals = Hospitals(names_of(3))
    for steps in itertools.product(range(NEVER + 1), repeat=3):
        check_pattern(hospitals, dict(zip(hospitals.names, steps, strict=True)))


@pytest.mark.long
@pytest.mark.parametrize("count", [4, 5, 6])
def test_every_pattern_of_more_sites(count):
    """Each pattern once up to the sites' order, which is shuffled."""
    hospitals = Hospitals(names_of(count))
    for steps in itertools.combinations_with_replacement(range(NEVER + 1), count):
        check_pattern(
            hospitals, dict(zip(hospitals.names, GENERATOR.permutation(steps).tolist(), strict=True))
        )


@pytest.mark.long
def test_random_patterns_of_64_sites():
    hospitals = Hospitals(names_of(64))
    opened = 0
    for weight in (0.0, 0.03, 0.08):
        odds = [weight] * NEVER + [1 - NEVER * weight]
        steps = GENERATOR.choice(NEVER + 1, 64, p=odds).tolist()
        check_pattern(hospitals, dict(zip(hospitals.names, steps, strict=True)))
        opened += 1
    assert opened == 3


@pytest.mark.long
def test_64_sites_of_which_31_drop_out_behind_their_shares():
    hospitals = Hospitals(names_of(64))
    drops = {name: 2 + index % 3 for index, name in enumerate(hospitals.names[:31])}
    vectors, of = draw_vectors(hospitals.names), context()
    expected = expected_sum(hospitals.names, vectors, drops, 33)
    np.testing.assert_array_equal(run_attempt(hospitals.sessions(of), of, vectors, drops), expected)


def test_a_site_that_died_after_sending_is_in_the_sum():
    hospitals = Hospitals(names_of(4))
    vectors, of = draw_vectors(hospitals.names), context()
    got = run_attempt(hospitals.sessions(of), of, vectors, {"site-00": 3})
    np.testing.assert_array_equal(got, np.sum(list(vectors.values()), axis=0, dtype=np.uint32))


def test_what_the_server_has_before_the_sum_is_opened_holds_no_vector():
    hospitals = Hospitals(names_of(3))
    of = context()
    vectors = {name: np.full(LENGTH, 7, np.uint32) for name in hospitals.names}
    seen = []
    run_attempt(hospitals.sessions(of), of, vectors, {}, lambda kind, message: seen.append((kind, message)))
    masked = [message for kind, message in seen if kind == "masked"]
    assert len({*masked}) == 3
    assert np.full(LENGTH, 7, np.uint32).tobytes() not in masked


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(("k", "left", "opens"), [(0, 4, True), (0, 3, False), (3, 5, True), (3, 4, False)])
def test_more_colluding_sites_need_more_survivors(k, left, opens):
    hospitals = Hospitals(names_of(6), policy=SurvivorPolicy(colluding_sites=k))
    vectors, of = draw_vectors(hospitals.names), context()
    drops = dict.fromkeys(hospitals.names[left:], 2)
    assert (outcome(hospitals.sessions(of), of, vectors, drops) is not None) == opens


def test_the_strictest_site_decides():
    hospitals = Hospitals(names_of(5))
    of = context()
    sites = hospitals.sessions(of)
    sites["site-04"] = hospitals.session("site-04", of, policy=SurvivorPolicy(min_survivors=5))
    vectors = draw_vectors(hospitals.names)
    with pytest.raises(SecAggFailure, match=r"4 sites sent their vectors, and at least 5 must"):
        run_attempt(sites, of, vectors, {"site-00": 2})


def test_fewer_reveals_than_the_threshold_open_nothing():
    run = Collected(5)
    for name in ("site-00", "site-01"):
        run.server.add_reveal(run.reveals[name])
        assert not run.server.can_open
        with pytest.raises(SecAggFailure, match="at least 3 must"):
            run.server.open_sum()
    assert run.server.awaited == ["site-02", "site-03", "site-04"]
    run.server.add_reveal(run.reveals["site-04"])
    assert run.server.can_open
    np.testing.assert_array_equal(add_masks(run.total, run.server.open_sum()), run.expected)


def test_the_server_refuses_a_second_a_late_and_another_sum_s_answer():
    hospitals = Hospitals(names_of(3))
    of = context()
    sites = hospitals.sessions(of)
    server = ServerSession(of)
    keys = {name: site.advertise() for name, site in sites.items()}
    other = hospitals.session("site-00", context(attempt=2)).advertise()
    with pytest.raises(SecAggRefusal, match="another job, round, attempt"):
        server.add_advertisement(other)
    for one in keys.values():
        server.add_advertisement(one)
    with pytest.raises(SecAggRefusal, match="it has advertised"):
        server.add_advertisement(keys["site-00"])
    roster = server.close_advertising()
    with pytest.raises(SecAggRefusal, match="comes too late"):
        server.add_advertisement(keys["site-00"])
    bundle = sites["site-00"].share(roster)
    server.add_shares(bundle)
    with pytest.raises(SecAggRefusal, match="has answered"):
        server.add_shares(bundle)
    assert server.awaited == ["site-01", "site-02"]
    assert server.step is ServerStep.SHARES


def test_the_server_refuses_keys_with_a_false_signature():
    hospitals = Hospitals(names_of(3))
    keys = hospitals.session("site-00", context()).advertise()
    for change in ({"mask_key": bytes(32)}, {"site": "site-01"}, {"policy": SurvivorPolicy(min_survivors=9)}):
        with pytest.raises(SecAggRefusal, match="not signed"):
            ServerSession(context()).add_advertisement(keys.model_copy(update=change))


def test_the_server_refuses_shares_for_some_only_and_reveals_of_other_sites():
    run = Collected(4)
    reveal = run.reveals["site-00"]
    fewer = dict(list(reveal.self_shares.items())[1:])
    for change in ({"self_shares": fewer}, {"key_shares": {"site-01": bytes(33)}}):
        with pytest.raises(SecAggRefusal, match="not those of this list"):
            run.server.add_reveal(reveal.model_copy(update=change))
    server = ServerSession(run.of)
    sites = run.hospitals.sessions(run.of)
    for site in sites.values():
        server.add_advertisement(site.advertise())
    bundle = sites["site-00"].share(server.close_advertising())
    without = {name: one for name, one in bundle.sealed.items() if name != "site-01"}
    with pytest.raises(SecAggRefusal, match="not one for each other site"):
        server.add_shares(bundle.model_copy(update={"sealed": without}))


def test_the_server_refuses_a_false_confirmation():
    hospitals = Hospitals(names_of(3))
    of, sites = context(), hospitals.sessions(context())
    server = ServerSession(of)
    for site in sites.values():
        server.add_advertisement(site.advertise())
    roster = server.close_advertising()
    for site in sites.values():
        server.add_shares(site.share(roster))
    for name, inbox in server.close_sharing().items():
        sites[name].mask_seeds(inbox)
        server.add_masked(name)
    left = server.close_masking()
    right = sites["site-00"].confirm(left)
    with pytest.raises(SecAggRefusal, match="did not sign"):
        server.add_confirmation(right.model_copy(update={"site": "site-01"}))
    with pytest.raises(SecAggFailure, match="0 sites confirmed"):
        server.close_confirming()
    server.add_confirmation(right)


def test_answers_survive_json():
    run = Collected(3)
    reveal = run.reveals["site-00"]
    assert Reveal.from_json(reveal.to_json()) == reveal
    assert {Advertisement, Confirmation, ShareBundle}  # each is sent through JSON in `run_attempt`
