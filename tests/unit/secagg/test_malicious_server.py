"""A server that lies at random, with hospitals that collude with it: what all of them together learn.

For each attempt at a round the server makes up two worlds, each with other keys of the colluding hospitals,
and has every honest hospital in one of them. It withholds shares, shows several lists of survivors and any
signatures, and starts again. Colluding hospitals sign anything. Of the honest ones it must learn no more than
one sum, of two of them at least.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any, NamedTuple

import pytest
from effort import examples

from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.messages import ConfirmationList, Reveal, Roster, ShareInbox, SumContext, SurvivorList
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy

from .hospitals import Hospitals, NoMemory, context, names_of

SEEDS = max(4, examples(40))
"""How many servers lie, each in other ways; the most tests see in `make test-long`."""


class World(NamedTuple):
    """What the server pretends to some of the honest hospitals."""

    roster: Roster
    colluding: dict[str, SiteSession]
    honest: list[str]


class Known(NamedTuple):
    """What the server has of an attempt."""

    sessions: dict[str, SiteSession]
    worlds: list[World]
    reveals: list[Reveal]


class Liar:
    """A server and the hospitals that collude with it.

    Args:
        choice: Of every lie.
        hospitals: All, of which the first ones collude.
        colluding: How many.
    """

    def __init__(self, choice: random.Random, hospitals: Hospitals, colluding: int) -> None:
        self.choice, self.hospitals = choice, hospitals
        self.colluding, self.honest = hospitals.names[:colluding], hospitals.names[colluding:]
        hospitals.memories |= {name: NoMemory() for name in self.colluding}

    def attempt(self, of: SumContext) -> Known:
        """Lie in every step of an attempt, and return what came of it."""
        sessions = {name: self.hospitals.session(name, of) for name in self.honest}
        keys = {name: one.advertise() for name, one in sessions.items()}
        worlds = [self._make_world(of, keys) for _ in range(2)]
        taken, reveals = set[str](), []
        for place, (roster, colluding, members) in enumerate(worlds):
            mine = [name for name in members if name not in taken and (place or self._is_so())]
            shared = {}
            for name in mine:
                if answer := attempted(sessions[name].share, roster):
                    shared[name] = answer
            taken |= shared.keys()
            for name, one in colluding.items():
                if answer := attempted(one._share, roster):  # more than once, if asked
                    shared[name] = answer
            self._send_shares(of, sessions, shared)
            reveals += self._open(
                of, worlds[place], {name: sessions[name] for name in mine if name in shared}
            )
        return Known(sessions, worlds, reveals)

    def _make_world(self, of: SumContext, keys: dict[str, Any]) -> World:
        colluding = {name: self.hospitals.session(name, of) for name in self.colluding}
        members = self._some(self.honest) or self.honest
        listed = {
            **{name: keys[name] for name in members},
            **{n: s.advertise() for n, s in colluding.items()},
        }
        return World(
            Roster(context=of, advertisements=[listed[n] for n in sorted(listed)]), colluding, members
        )

    def _send_shares(self, of: SumContext, sessions: dict[str, SiteSession], shared: dict[str, Any]) -> None:
        agreed = {*self._some(sorted(shared))}
        for name in sorted(shared.keys() & sessions.keys()):
            for whose in (agreed if self._is_so() else self._some(sorted(shared)), shared):
                sealed = {one: shared[one].sealed[name] for one in whose if one != name}
                if sealed:
                    attempted(sessions[name].mask_seeds, ShareInbox(context=of, sealed=sealed))

    def _open(self, of: SumContext, world: World, sessions: dict[str, SiteSession]) -> list[Reveal]:
        """Show lists of survivors, and then any of the signatures that came."""
        masked = {name: one for name, one in sessions.items() if hasattr(one, "_received")}
        signed: dict[str, dict[str, bytes]] = defaultdict(dict)
        shown: dict[str, list[SurvivorList]] = defaultdict(list)
        lists = [[*self._some(world.roster.names)] for _ in range(3)]
        for name, one in sorted(masked.items()):
            sharers = sorted([name, *one._received])
            for names in self.choice.sample(lists, len(lists)):
                shown_itself = {name} if self._is_so() else set[str]()
                survivors = sorted({*names} & {*sharers} | shown_itself)
                if not survivors:
                    continue
                message = SurvivorList(context=of, sharers=sharers, survivors=survivors)
                shown[name].append(message)
                if answer := attempted(one.confirm, message):
                    signed[message.to_json()][name] = answer.signature
        reveals = []
        for name, one in masked.items():
            for message in shown[name]:
                given = signed[message.to_json()] | {
                    who: self.hospitals.identities[who].sign(message.statement(world.roster.digest, who))
                    for who in self.colluding
                    if who in message.survivors
                }
                of_others = {who: one for signatures in signed.values() for who, one in signatures.items()}
                for signatures in (
                    {who: one for who, one in of_others.items() if who in message.survivors},
                    {who: given[who] for who in self._some(sorted(given))},
                    given,
                ):
                    if signatures:
                        answer = attempted(one.reveal, ConfirmationList(context=of, signatures=signatures))
                        reveals += [answer] if answer else []
        return reveals

    def _some(self, names: Iterable[str]) -> list[str]:
        """Most of them."""
        return [name for name in names if self.choice.random() < 0.85]

    def _is_so(self) -> bool:
        return self.choice.random() < 0.8


def attempted(step: Callable[[Any], Any], message: Any) -> Any:
    """What a hospital answers; None if it refuses."""
    try:
        return step(message)
    except SecAggRefusal:
        return None


def learned(known: Known, colluding: int) -> list[tuple[str, ...]]:
    """Return the sums of honest hospitals' vectors that the server can compute, each by its hospitals.

    A vector's own mask is known if its hospital gave the secret, or enough shares are there; then it is
    hidden by the masks that it shares with others, but for those whose mask keys are known.

    Args:
        known: What the server has.
        colluding: Hospitals whose shares it has as well.
    """
    own, key = defaultdict(int), defaultdict(int)
    gave = {one.site: one for one in known.reveals}
    for reveal in gave.values():
        for name in reveal.self_shares.keys() & known.sessions.keys():
            own[name] += 1
        for name in reveal.key_shares.keys() & known.sessions.keys():
            key[name] += 1
    worlds: dict[bytes, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for name, session in known.sessions.items():
        if not hasattr(session, "_digest"):
            continue
        bare, hidden = worlds[session._digest]
        if name in gave or own[name] + colluding >= session._threshold:
            bare.add(name)
        if key[name] + colluding < session._threshold:
            hidden.add(name)
    assert not any(bare - hidden for bare, hidden in worlds.values()), "both masks of one hospital"
    sums = [tuple(sorted(bare)) for bare, hidden in worlds.values() if bare and bare >= hidden]
    assert all(len(names) >= 2 for names in sums), "of a single one the server knows the vector"
    return sums


@pytest.fixture
def lie(tmp_path):
    """Lie in three attempts at a round; returns the sums that were opened."""

    def lie(seed: int, policy: SurvivorPolicy, count: int) -> list[tuple[str, ...]]:
        hospitals = Hospitals(names_of(count), tmp_path / str(seed), policy)
        liar, sums = Liar(random.Random(seed), hospitals, policy.colluding_sites), []
        for number in range(1, 4):
            sums += learned(liar.attempt(context(attempt=number)), policy.colluding_sites)
        return sums

    return lie


@pytest.mark.quick_cases(1)
@pytest.mark.hypothesis
@pytest.mark.parametrize("colluding", [2, 0, 1])
def test_by_default_there_is_one_sum_of_a_round_whatever_the_server_says(lie, colluding):
    """The server chooses who is in an attempt; two sums of most of all have an honest hospital in common."""
    count = 6 + 2 * colluding
    opened = [lie(seed, SurvivorPolicy.majority_of(count, colluding), count) for seed in range(SEEDS)]
    assert all(len({*sums}) <= 1 for sums in opened)
    assert sum(map(bool, opened)) >= SEEDS // 4, "it is not by opening nothing that hospitals are safe"


@pytest.mark.quick_cases(1)
@pytest.mark.hypothesis
@pytest.mark.parametrize("colluding", [2, 0, 1])
def test_with_a_lower_minimum_no_two_sums_of_a_round_differ_by_a_single_hospital(lie, colluding):
    policy = SurvivorPolicy(colluding_sites=colluding)
    opened = [lie(seed, policy, 5 + 2 * colluding) for seed in range(SEEDS)]
    for sums in opened:
        for one, other in combinations(sums, 2):
            assert len({*one} ^ {*other}) != 1, "their difference is a hospital's vector"
    assert sum(map(bool, opened)) >= SEEDS // 4, "it is not by opening nothing that hospitals are safe"


def test_with_a_lower_minimum_two_sums_of_a_round_can_differ_by_two_hospitals(tmp_path):
    """The documented limit: of six hospitals, five at a time, with other ones that open each of the sums."""
    hospitals = Hospitals(names_of(6), tmp_path)
    common, *ends = hospitals.names[:4], *hospitals.names[4:]
    opened = []
    for number, (end, openers) in enumerate(zip(ends, (common[:2], common[2:]), strict=True), start=1):
        of = context(attempt=number)
        sites = {name: one for name, one in hospitals.sessions(of).items() if name in {*common, end}}
        roster = Roster(context=of, advertisements=[sites[name].advertise() for name in sorted(sites)])
        bundles = {name: one.share(roster) for name, one in sites.items()}
        for name, one in sites.items():
            sealed = {peer: given.sealed[name] for peer, given in bundles.items() if peer != name}
            one.mask_seeds(ShareInbox(context=of, sealed=sealed))
        shown = SurvivorList(context=of, sharers=sorted(sites), survivors=sorted(sites))
        signatures = {name: one.confirm(shown).signature for name, one in sites.items()}
        reveals = [
            sites[name].reveal(ConfirmationList(context=of, signatures=signatures))
            for name in (*openers, end)
        ]
        opened += learned(Known(sites, [], reveals), 0)
    assert {*opened[0]} ^ {*opened[1]} == {*ends}
