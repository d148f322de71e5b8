"""What a hospital refuses with sealed updates, of a server and of other hospitals."""

from random import Random

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg.hospitals import Hospitals, context

from consilium.sealed.server_session import SealedServer
from consilium.sealed.site_session import SealedSession, whose_turn
from consilium.secagg.errors import OpenedOtherwise, SecAggFailure, SecAggRefusal, UnknownParties
from consilium.secagg.identity import SiteIdentity
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import ConfirmationList, Roster, SurvivorList
from consilium.secagg.survivor_policy import SurvivorPolicy

NAMES = ("east", "north", "south", "west")


class SealingHospitals(Hospitals):
    """Hospitals that know each other, with sessions of attempts."""

    kind = SealedSession

    def __init__(self, folder):
        super().__init__(NAMES, folder, SurvivorPolicy.majority_of(4))

    def session(self, name, of, **options):
        """All jobs are of one training, as those that resume one another are."""
        return super().session(name, of, subject=b"training", **options)

    def begin(self, of, names=NAMES):
        """Sessions that accepted a roster of themselves, and the roster."""
        sessions = self.sessions(of, names)
        advertised = [one.advertise() for _, one in sorted(sessions.items())]
        roster = Roster(context=of, advertisements=advertised)
        for one in sessions.values():
            one.accept(roster)
        return sessions, roster

    def sealed(self, sessions):
        return {name: one.seal(f"update of {name}".encode()) for name, one in sessions.items()}

    def confirm(self, sessions, roster, survivors, by=None):
        listed = SurvivorList(context=roster.context, sharers=roster.names, survivors=sorted(survivors))
        signed = {name: sessions[name].confirm(listed).signature for name in by or survivors}
        return ConfirmationList(context=roster.context, signatures=signed)


@pytest.fixture
def hospitals(tmp_path):
    return SealingHospitals(tmp_path)


def test_only_the_hospital_with_the_turn_reads_the_updates(hospitals):
    sessions, roster = hospitals.begin(context())
    sealed = hospitals.sealed(sessions)
    assert not any(b"update" in one for one in sealed.values())
    confirmed = hospitals.confirm(sessions, roster, NAMES)
    for name in ("north", "south", "west"):
        with pytest.raises(SecAggRefusal, match="it is the turn of east"):
            sessions[name].open(confirmed, sealed)
    assert sessions["east"].open(confirmed, sealed) == {name: f"update of {name}".encode() for name in NAMES}


@pytest.mark.parametrize("attempt", range(1, 9))
def test_the_turn_goes_round(hospitals, attempt):
    _, roster = hospitals.begin(context(attempt=attempt))
    assert whose_turn(roster) == NAMES[(attempt - 1) % 4]


def test_an_update_that_the_server_changed_or_swapped_can_not_be_read(hospitals):
    sessions, roster = hospitals.begin(context())
    sealed = hospitals.sealed(sessions)
    confirmed = hospitals.confirm(sessions, roster, NAMES)
    damaged = bytes([sealed["north"][0] ^ 1]) + sealed["north"][1:]
    swapped = {**sealed, "north": damaged, "south": sealed["west"], "west": b""}
    assert sessions["east"].open(confirmed, swapped) == {
        "east": b"update of east", "north": None, "south": None, "west": None,
    }  # fmt: skip


def test_an_update_of_another_attempt_can_not_be_read(hospitals):
    before, _ = hospitals.begin(context(attempt=1))
    old = hospitals.sealed(before)
    sessions, roster = hospitals.begin(context(attempt=5))  # east's turn again
    sealed = hospitals.sealed(sessions)
    confirmed = hospitals.confirm(sessions, roster, NAMES)
    assert sessions["east"].open(confirmed, {**sealed, "west": old["west"]})["west"] is None


def test_updates_are_opened_once(hospitals):
    """A second opening, with an update damaged, would show the difference of two means."""
    sessions, roster = hospitals.begin(context())
    sealed = hospitals.sealed(sessions)
    confirmed = hospitals.confirm(sessions, roster, NAMES)
    sessions["east"].open(confirmed, sealed)
    with pytest.raises(SecAggRefusal, match="opened once"):
        sessions["east"].open(confirmed, {**sealed, "west": b"x"})


def test_one_update_is_sealed_in_an_attempt(hospitals):
    """Two updates under one key and nonce would give their difference away."""
    sessions, _ = hospitals.begin(context())
    hospitals.sealed(sessions)
    with pytest.raises(SecAggRefusal, match="one update is sealed in an attempt"):
        sessions["west"].seal(b"another")


@pytest.mark.parametrize(
    ("survivors", "reason"),
    [
        (("east", "west"), "left: 2 sites, and at least 3 are demanded"),
        (("east", "north", "south"), "west is not among the survivors"),
        (("north", "south", "west"), "east is not among the survivors"),
        ((*NAMES, "mars"), "not among its sharers"),
    ],
)
def test_a_list_that_can_not_be_right_is_not_signed(hospitals, survivors, reason):
    sessions, roster = hospitals.begin(context())
    hospitals.sealed(sessions)
    with pytest.raises(SecAggRefusal, match=reason):
        hospitals.confirm(sessions, roster, survivors, by=["west"])


def test_a_list_with_other_sharers_than_the_roster_is_not_signed(hospitals):
    sessions, roster = hospitals.begin(context())
    hospitals.sealed(sessions)
    listed = SurvivorList(
        context=roster.context, sharers=["east", "north", "west"], survivors=["east", "west"]
    )
    with pytest.raises(SecAggRefusal, match="other sharers"):
        sessions["west"].confirm(listed)


def test_forged_and_too_few_confirmations_open_nothing(hospitals):
    sessions, roster = hospitals.begin(context())
    sealed = hospitals.sealed(sessions)
    listed = SurvivorList(context=roster.context, sharers=roster.names, survivors=list(NAMES))
    real = {name: sessions[name].confirm(listed).signature for name in ("east", "north")}
    for extra, reason in (
        ({}, "confirmed the list of survivors: 2"),
        ({"west": bytes(64)}, "west did not confirm"),
    ):
        with pytest.raises(SecAggRefusal, match=reason):
            sessions["east"].open(
                ConfirmationList(context=roster.context, signatures={**real, **extra}), sealed
            )


def test_a_confirmation_of_one_attempt_is_none_of_another(hospitals):
    first, roster = hospitals.begin(context(attempt=1))
    hospitals.sealed(first)
    old = hospitals.confirm(first, roster, NAMES, by=NAMES[1:])
    second, other = hospitals.begin(context(attempt=5))
    sealed = hospitals.sealed(second)
    hospitals.confirm(second, other, NAMES, by=["east"])
    with pytest.raises(SecAggRefusal, match="of another job, round, attempt"):
        second["east"].open(old, sealed)
    replayed = ConfirmationList(context=other.context, signatures=old.signatures)
    with pytest.raises(SecAggRefusal, match="did not confirm"):
        second["east"].open(replayed, sealed)


def test_a_hospital_that_is_not_pinned_has_no_part(hospitals, tmp_path):
    stranger = SiteIdentity.create(tmp_path / "mars.pem")
    hospitals.identities["mars"] = stranger
    hospitals.memories["mars"] = SecAggMemory(tmp_path / "mars.sqlite")
    of = context()
    names = ("east", "mars", "north", "south")
    sessions = {name: hospitals.session(name, of) for name in names}
    roster = Roster(context=of, advertisements=[sessions[name].advertise() for name in names])
    with pytest.raises(UnknownParties, match="mars is not among the hospitals that east pinned"):
        sessions["east"].accept(roster)
    with pytest.raises(SecAggRefusal, match="it comes after accept"):
        sessions["east"].seal(b"update")


def test_the_server_can_not_put_its_own_key_in_place_of_the_turn_s(hospitals):
    of = context()
    sessions = {name: hospitals.session(name, of) for name in NAMES}
    real = {name: one.advertise() for name, one in sessions.items()}
    forged = real["east"].model_copy(update={"channel_key": bytes(31) + b"9"})
    roster = Roster(context=of, advertisements=[forged, *(real[name] for name in NAMES[1:])])
    with pytest.raises(SecAggRefusal, match="not signed by its identity"):
        sessions["west"].accept(roster)


def test_a_roster_below_the_hospital_s_own_threshold_is_refused(hospitals):
    hospitals.policy = SurvivorPolicy(min_survivors=4)
    with pytest.raises(SecAggRefusal, match="3 sites in all, and 4 must be left"):
        hospitals.begin(context(), names=NAMES[:3])


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_server_gets_two_means_of_one_round(seed, tmp_path_factory):
    """It chooses rosters, lists, attempts, jobs and what arrives; all hospitals follow the protocol.

    Not even of the same hospitals: it could damage another update each time.
    """
    random = Random(seed)
    hospitals = SealingHospitals(tmp_path_factory.mktemp("sealed"))
    opened, attempt = [], 0
    for _ in range(6):
        attempt += random.randint(1, 4)
        job = random.choice(["a-job", "a-job", "resumed"])
        names = sorted(random.sample(NAMES, random.randint(3, 4)))
        try:
            sessions, roster = hospitals.begin(context(attempt=attempt, job=job), names)
            sealed = hospitals.sealed(sessions)
            survivors = random.sample(names, random.randint(2, len(names)))
            listed = SurvivorList(context=roster.context, sharers=names, survivors=sorted(survivors))
            signed = {}
            for name in random.sample(survivors, random.randint(1, len(survivors))):
                try:
                    signed[name] = sessions[name].confirm(listed).signature
                except SecAggRefusal:
                    signed[name] = bytes(64) if random.random() < 0.3 else None
            signatures = {name: one for name, one in signed.items() if one is not None}
            confirmed = ConfirmationList(context=roster.context, signatures=signatures)
            taken = {name: sealed[name] for name in survivors}
            sessions[whose_turn(roster)].open(confirmed, taken)
            opened.append(survivors)
        except (SecAggRefusal, ValueError):
            continue
    assert len(opened) <= 1


def test_the_server_s_session_leaves_out_who_demands_too_much(hospitals):
    of = context()
    server = SealedServer(of)
    strict = SurvivorPolicy(min_survivors=9)
    for name in NAMES:
        hospitals.policy = strict if name == "west" else SurvivorPolicy()
        server.add_advertisement(hospitals.session(name, of).advertise())
    assert server.close_advertising().names == ["east", "north", "south"]
    assert "min_survivors 9" in server.blame.unmet["west"]


def test_the_server_s_session_takes_no_message_twice_late_or_of_another_attempt(hospitals):
    of = context()
    server = SealedServer(of)
    sessions = {name: hospitals.session(name, of) for name in NAMES}
    keys = {name: one.advertise() for name, one in sessions.items()}
    for name in NAMES[:3]:
        server.add_advertisement(keys[name])
    with pytest.raises(SecAggRefusal, match="it has advertised"):
        server.add_advertisement(keys["east"])
    with pytest.raises(SecAggRefusal, match="another job, round, attempt"):
        server.add_advertisement(hospitals.session("west", context(attempt=2)).advertise())
    server.close_advertising()
    with pytest.raises(SecAggRefusal, match="comes too late"):
        server.add_advertisement(keys["west"])
    with pytest.raises(SecAggFailure, match="0 sites accepted the others"):
        server.close_accepting()


def test_a_hospital_confirms_who_is_in_a_mean_of_a_round_once_ever(hospitals):
    """Not even the same list: a server that damages another update each time would get two means."""
    first, roster = hospitals.begin(context())
    hospitals.sealed(first)
    hospitals.confirm(first, roster, NAMES)
    for later in (context(attempt=2), context(attempt=3, job="resumed")):
        again, other = hospitals.begin(later)
        hospitals.sealed(again)
        with pytest.raises(OpenedOtherwise, match="confirmed who is in a mean of this round before"):
            hospitals.confirm(again, other, NAMES)


@pytest.mark.parametrize("change", [{"west": None}, {"mars": b"x"}], ids=["one less", "one more"])
def test_the_updates_are_those_of_the_list(hospitals, change):
    sessions, roster = hospitals.begin(context())
    sealed = hospitals.sealed(sessions)
    confirmed = hospitals.confirm(sessions, roster, NAMES)
    others = {name: one for name, one in {**sealed, **change}.items() if one is not None}
    with pytest.raises(SecAggRefusal, match="of other sites than the list"):
        sessions["east"].open(confirmed, others)
    assert sessions["east"].open(confirmed, sealed)["west"] == b"update of west"
