"""What a site refuses whatever the protocol, by the shortest protocol that there can be."""

from types import MappingProxyType

import pytest

from consilium.secagg.errors import OpenedOtherwise, SecAggRefusal, UnknownParties
from consilium.secagg.identity import is_signed
from consilium.secagg.messages import ConfirmationList, Roster, SurvivorList
from consilium.secagg.site_attempt import ADVERTISED, SiteAttempt
from consilium.secagg.statements import digest_statement
from consilium.secagg.survivor_policy import SurvivorPolicy

from .hospitals import Hospitals, context, names_of

NAMES = names_of(5)
NEEDED = NAMES[1]


class ShortProtocol(SiteAttempt):
    """Hospitals accept each other, confirm a list, and record that they open something."""

    once = MappingProxyType({"open": "it is opened once"})

    def accept(self, roster):
        def accept():
            self._keep_roster(roster, self._check_roster(roster))

        self._steps.answer("accept", ADVERTISED, roster, accept)

    def confirm(self, survivors):
        def confirm():
            self._check_survivors(survivors, sharers=self._roster.names, needed=[NEEDED])
            return self._sign_survivors(survivors, lacking=[NAMES[2]])

        return self._steps.answer("confirm", "accept", survivors, confirm)

    def open(self, confirmations):
        def open_it():
            self._check_confirmations(confirmations)
            opened = digest_statement("opened", *self._survivors.survivors)
            self._memory.record_opening(self._subjects, opened)
            return "opened"

        return self._steps.answer("open", "confirm", confirmations, open_it)


class ShortHospitals(Hospitals):
    kind = ShortProtocol

    def begin(self, of, **options):
        sites = self.sessions(of, **options)
        roster = Roster(context=of, advertisements=[sites[name].advertise() for name in self.names])
        return sites, roster

    def accept(self, of, **options):
        sites, roster = self.begin(of, **options)
        for site in sites.values():
            site.accept(roster)
        return sites, roster

    def sign(self, sites, roster, survivors, by=None):
        shown = listed(roster, survivors)
        signed = {name: sites[name].confirm(shown).signature for name in by or survivors}
        return ConfirmationList(context=roster.context, signatures=signed)


def listed(roster, survivors):
    return SurvivorList(context=roster.context, sharers=roster.names, survivors=[*survivors])


def signature_of(hospitals, name, shown, roster):
    return hospitals.identities[name].sign(shown.statement(roster.digest, name))


def refuses(match):
    return pytest.raises(SecAggRefusal, match=match)


@pytest.fixture
def hospitals(tmp_path):
    return ShortHospitals(NAMES, tmp_path)


def test_keys_are_signed_and_the_same_ones_when_asked_again(hospitals):
    site = hospitals.session(NAMES[0], context(), policy=SurvivorPolicy(min_survivors=4))
    keys = site.advertise()
    assert is_signed(hospitals.identities[NAMES[0]].public_key, keys.statement, keys.signature)
    assert (keys.context, keys.site, keys.policy.min_survivors) == (context(), NAMES[0], 4)
    assert site.advertise() == keys


def test_a_site_that_restarted_has_no_part_in_the_attempt(hospitals):
    hospitals.session(NAMES[0], context()).advertise()
    with refuses("attempt 1 of this job is refused"):
        hospitals.session(NAMES[0], context()).advertise()


def test_a_roster_with_hospitals_that_are_not_pinned_is_refused_and_names_them(hospitals):
    del hospitals.pins[NAMES[3]]
    sites, roster = hospitals.begin(context())
    with pytest.raises(UnknownParties, match="not among the hospitals that site-00 pinned") as refused:
        sites[NAMES[0]].accept(roster)
    assert refused.value.sites == [NAMES[3]]


def test_a_site_knows_its_own_keys(hospitals):
    sites, roster = hospitals.begin(context())
    with refuses("has other keys in its name"):
        sites[NAMES[0]].accept(roster.model_copy(update={"advertisements": roster.advertisements[1:]}))


@pytest.mark.parametrize("strict", [NAMES[0], NAMES[4]])
def test_the_strictest_hospital_decides_how_many_must_be_left(hospitals, strict):
    sites = hospitals.sessions(context())
    sites[strict] = hospitals.session(strict, context(), policy=SurvivorPolicy(min_survivors=5))
    keys = {name: one.advertise() for name, one in sites.items()}
    fewer = [keys[name] for name in NAMES if name != NAMES[3]]
    with refuses("4 sites in all, and 5 must be left at the end"):
        sites[NAMES[0]].accept(Roster(context=context(), advertisements=fewer))
    roster = Roster(context=context(), advertisements=[*keys.values()])
    sites[NAMES[0]].accept(roster)  # the refusal has changed nothing
    with refuses("left: 4 sites, and at least 5 are demanded"):
        sites[NAMES[0]].confirm(listed(roster, NAMES[:4]))


BAD_LISTS = {
    "other sharers": ({"sharers": NAMES[:4]}, "other sharers than this site knows"),
    "a survivor that is no sharer": ({"survivors": [*NAMES, "stranger"]}, "not among its sharers"),
    "without the site itself": ({"survivors": NAMES[1:]}, "site-00 is not among the survivors"),
    "without one that is needed": ({"survivors": [NAMES[0], *NAMES[2:]]}, "site-01 is not among the surv"),
    "too few": ({"survivors": NAMES[:2]}, "left: 2 sites, and at least 3 are demanded"),
}


@pytest.mark.parametrize(("change", "reason"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_list_that_can_not_be_right_is_not_signed(hospitals, change, reason):
    sites, roster = hospitals.accept(context())
    site, right = sites[NAMES[0]], listed(roster, NAMES[:4])
    with refuses(reason):
        site.confirm(right.model_copy(update=change))
    assert site.confirm(right)  # the refusal has changed nothing


def test_a_confirmation_is_the_site_s_signature_of_the_list_in_this_attempt(hospitals):
    sites, roster = hospitals.accept(context())
    shown = listed(roster, NAMES[:4])
    answer = sites[NAMES[0]].confirm(shown)
    statement = shown.statement(roster.digest, NAMES[0])
    assert is_signed(hospitals.identities[NAMES[0]].public_key, statement, answer.signature)
    assert (answer.context, answer.site, answer.lacking) == (context(), NAMES[0], [NAMES[2]])


def test_forged_confirmations_and_those_of_another_list_open_nothing(hospitals):
    sites, roster = hospitals.accept(context())
    right = hospitals.sign(sites, roster, NAMES[:4])
    outside = signature_of(hospitals, NAMES[4], listed(roster, NAMES[:4]), roster)
    of_all = signature_of(hospitals, NAMES[1], listed(roster, NAMES), roster)
    for name, signature in (
        (NAMES[1], right.signatures[NAMES[2]]),
        (NAMES[1], of_all),
        (NAMES[4], outside),
        ("stranger", bytes(64)),
    ):
        signatures = {**right.signatures, name: signature}
        with refuses(f"{name} did not confirm the list of survivors that this site saw"):
            sites[NAMES[0]].open(right.model_copy(update={"signatures": signatures}))
    assert sites[NAMES[0]].open(right) == "opened"  # the refusals have changed nothing


def test_too_few_confirmations_open_nothing(hospitals):
    sites, roster = hospitals.accept(context())
    signed = hospitals.sign(sites, roster, NAMES).signatures
    fewer = {name: signed[name] for name in NAMES[:2]}
    with refuses("confirmed the list of survivors: 2 sites, and at least 3 are demanded"):
        sites[NAMES[0]].open(ConfirmationList(context=context(), signatures=fewer))
    enough = {name: signed[name] for name in NAMES[2:]}
    assert sites[NAMES[0]].open(ConfirmationList(context=context(), signatures=enough)) == "opened"


def test_a_step_that_is_taken_once_is_not_answered_again(hospitals):
    sites, roster = hospitals.accept(context())
    right = hospitals.sign(sites, roster, NAMES)
    assert sites[NAMES[0]].open(right) == "opened"
    with refuses("it is opened once"):
        sites[NAMES[0]].open(right)


@pytest.mark.parametrize(
    ("later", "subject"),
    [
        (context(attempt=2), b"another"),  # a server that names another training
        (context(attempt=2, job="resumed"), b"training"),  # a job that continues this one
    ],
    ids=["the same round", "the same training"],
)
def test_what_was_opened_holds_for_the_round_and_for_what_it_is_made_from(hospitals, later, subject):
    sites, roster = hospitals.accept(context(), subject=b"training")
    sites[NAMES[0]].open(hospitals.sign(sites, roster, NAMES))
    sites, roster = hospitals.accept(later, subject=subject)
    with pytest.raises(OpenedOtherwise, match="with other survivors"):
        sites[NAMES[0]].open(hospitals.sign(sites, roster, NAMES[:4]))
    following = context(round_number=2, attempt=3, job=later.job)
    sites, roster = hospitals.accept(following, subject=b"the next round")
    assert sites[NAMES[0]].open(hospitals.sign(sites, roster, NAMES[:4])) == "opened"
