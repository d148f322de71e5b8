"""What the server refuses whatever the protocol, and for which sites it continues."""

from itertools import count

import pytest

from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.messages import SurvivorList
from consilium.secagg.server_attempt import ServerAttempt
from consilium.secagg.survivor_policy import MOST_PARTIES, SurvivorPolicy

from .hospitals import Hospitals, context, names_of
from .test_site_attempt import ShortHospitals, listed

NAMES = names_of(5)


class ShortServer(ServerAttempt):
    """Has the sites confirm a list, and no other step."""

    def add_confirmation(self, message, survivors):
        self._require_context(message)
        self._require_signed(message, survivors)
        self._confirmations[message.site] = message

    def close_confirming(self):
        return self._list_confirmations()


def refuses(match):
    return pytest.raises(SecAggRefusal, match=match)


def keys_of(sites, of=None, **policies):
    """What some sites advertise, by name; a site's own policy under its name with underscores."""
    hospitals = Hospitals(names_of(sites))
    return {
        name: hospitals.session(
            name, of or context(), policy=policies.get(name.replace("-", "_"), SurvivorPolicy())
        ).advertise()
        for name in hospitals.names
    }


def server_of(keys):
    server = ServerAttempt(context())
    for one in keys.values():
        server.add_advertisement(one)
    return server


def test_the_roster_has_all_that_advertised_in_the_order_of_their_names():
    keys = keys_of(5)
    server = server_of(dict(reversed(keys.items())))
    assert server.advertised == NAMES
    roster = server.close_advertising()
    assert roster.advertisements == [*keys.values()]
    assert server.roster == roster
    assert (roster.context, server.context, server.threshold) == (context(), context(), 3)


def test_keys_of_another_attempt_twice_and_late_are_refused():
    keys = keys_of(4)
    server = server_of(dict(list(keys.items())[:3]))
    with refuses("another job, round, attempt or parameters"):
        server.add_advertisement(keys_of(5, context(attempt=2))[NAMES[4]])
    with refuses("site-00: it has advertised"):
        server.add_advertisement(keys[NAMES[0]])
    server.close_advertising()
    with refuses("site-03: it comes too late"):
        server.add_advertisement(keys[NAMES[3]])
    assert server.roster.names == NAMES[:3]


@pytest.mark.parametrize(
    "change",
    [{"channel_key": bytes(31) + b"9"}, {"site": "site-01"}, {"policy": SurvivorPolicy(min_survivors=9)}],
    ids=["key", "site", "policy"],
)
def test_keys_that_their_site_did_not_sign_are_refused(change):
    with refuses("not signed by the identity that it names"):
        ServerAttempt(context()).add_advertisement(keys_of(1)[NAMES[0]].model_copy(update=change))


def test_a_site_that_takes_the_keys_of_another_is_refused():
    def drawn():
        numbers = count(1)
        return lambda length: bytes([next(numbers)]) * length

    hospitals = Hospitals(NAMES)
    one, other = (hospitals.session(name, context(), random=drawn()).advertise() for name in NAMES[:2])
    server = ServerAttempt(context())
    server.add_advertisement(one)
    with refuses("site-01: a key that it, or another site, has advertised"):
        server.add_advertisement(other)


def test_no_more_sites_take_part_than_one_attempt_can_have():
    keys = keys_of(MOST_PARTIES + 1)
    *first, last = keys.values()
    server = server_of(dict(zip(keys, first, strict=False)))
    with refuses(f"or {MOST_PARTIES} sites have"):
        server.add_advertisement(last)
    assert len(server.close_advertising().names) == MOST_PARTIES


def test_a_site_that_demands_too_much_is_left_out_and_named():
    server = server_of(keys_of(5, site_04=SurvivorPolicy(min_survivors=9)))
    assert server.close_advertising().names == NAMES[:4]
    assert server.advertised == NAMES[:4]
    assert "min_survivors 9" in server.blame.unmet[NAMES[4]]


def test_the_strictest_site_decides_how_many_must_answer():
    server = server_of(keys_of(5, site_02=SurvivorPolicy(min_survivors=5)))
    server.close_advertising()
    assert server.threshold == 5


@pytest.mark.parametrize("sites", [0, 1, 2])
def test_too_few_sites_begin_nothing(sites):
    with pytest.raises(SecAggFailure, match=f"{sites} sites? took part, and at least 3 must"):
        server_of(keys_of(sites)).close_advertising()


def test_there_is_one_roster_of_an_attempt():
    server = server_of(keys_of(3))
    server.close_advertising()
    with pytest.raises(SecAggFailure, match="advertising is closed once"):
        server.close_advertising()


@pytest.fixture
def confirmed(tmp_path):
    """A server with a roster, a list of all, and what the sites sign of it; one site demands all of them."""

    def confirmed(**policy):
        hospitals, server = ShortHospitals(NAMES, tmp_path), ShortServer(context())
        sites = hospitals.sessions(context())
        if policy:
            sites[NAMES[4]] = hospitals.session(NAMES[4], context(), policy=SurvivorPolicy(**policy))
        for site in sites.values():
            server.add_advertisement(site.advertise())
        roster = server.close_advertising()
        shown = listed(roster, NAMES)
        for site in sites.values():
            site.accept(roster)
        return server, shown, {name: sites[name].confirm(shown) for name in NAMES}

    return confirmed


def test_signatures_are_listed_by_name_once_enough_sites_signed(confirmed):
    server, shown, answers = confirmed()
    for name in (NAMES[3], NAMES[0]):
        server.add_confirmation(answers[name], shown)
    with pytest.raises(SecAggFailure, match="2 sites confirmed the list of survivors, and at least 3 must"):
        server.close_confirming()
    server.add_confirmation(answers[NAMES[1]], shown)
    listed_by_name = server.close_confirming()
    assert listed_by_name.context == context()
    assert [*listed_by_name.signatures.items()] == [
        (name, answers[name].signature) for name in (NAMES[0], NAMES[1], NAMES[3])
    ]


def test_a_confirmation_that_its_site_did_not_sign_is_refused(confirmed):
    server, shown, answers = confirmed()
    fewer = SurvivorList(context=context(), sharers=NAMES, survivors=NAMES[:4])
    for answer, survivors in (
        (answers[NAMES[0]].model_copy(update={"site": NAMES[1]}), shown),
        (answers[NAMES[0]].model_copy(update={"signature": bytes(64)}), shown),
        (answers[NAMES[0]], fewer),
    ):
        with refuses(f"{answer.site}: it did not sign the list of survivors"):
            server.add_confirmation(answer, survivors)
    with refuses("another job, round, attempt or parameters"):
        server.add_confirmation(answers[NAMES[0]].model_copy(update={"context": context(attempt=2)}), shown)
    with pytest.raises(SecAggFailure, match="0 sites confirmed"):
        server.close_confirming()


def test_the_next_attempt_does_without_a_site_that_alone_demanded_more_than_were_left(confirmed):
    server, shown, answers = confirmed(min_survivors=5)
    for name in NAMES[:4]:
        server.add_confirmation(answers[name], shown)
    with pytest.raises(SecAggFailure, match="4 sites confirmed the list of survivors, and at least 5 must"):
        server.close_confirming()
    assert server.blame.spared.keys() == {NAMES[4]}
