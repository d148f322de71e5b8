"""Sites that would block every round of a job by secure aggregation: the job continues without them."""

import json
import secrets

import numpy as np
import pytest

from consilium.federation.message_names import TRAIN
from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, REVEAL, SHARE
from consilium.secagg.messages import Reveal, ShareBundle
from consilium.secagg.peers import PEERS_FILE, PinnedPeers

from .test_secagg_fedavg import STEPS, run, sites, w  # noqa: F401 - fixtures

WITHOUT_WEST = (6 * 2.0 + 3 * (-1.0 + 0.5)) / 12
WITH_WEST = (6 * 2.0 + 3 * (-1.0 + 0.5 + 0.25)) / 15


def lie_in(site, task, change):
    """Have a site change its own message of one step."""
    answer = site.dialogue.answer

    def lying(question, content, sets):
        given = answer(question, content, sets)
        if question == task:
            given.content["message"] = change(site.dialogue._session, given.content["message"])
        return given

    site.dialogue.answer = lying


def other_secret(session, text):
    return Reveal.from_json(text).model_copy(update={"self_secret": secrets.token_bytes(32)}).to_json()


def unreadable_shares(session, text):
    bundle, sealed = ShareBundle.from_json(text), {}
    for receiver, one in bundle.sealed.items():
        other = one.model_copy(update={"ciphertext": secrets.token_bytes(82)})
        statement = other.statement(bundle.context, session._digest, bundle.site, receiver)
        sealed[receiver] = other.model_copy(update={"signature": session._identity.sign(statement)})
    return bundle.model_copy(update={"sealed": sealed}).to_json()


def test_a_site_that_reveals_something_false_is_named_and_asked_no_more(run, sites, caplog):  # noqa: F811
    hospitals = sites(options=STEPS)
    lie_in(hospitals["west"], REVEAL, other_secret)
    record, engine = run(hospitals, rounds=3)
    assert record.status == "finished", record.reason
    assert [one.attempts for one in record.rounds] == [1, 1, 1]
    assert record.rounds[0].questions[REVEAL]["west"].outcome == "refused"
    assert "another secret of its own mask" in record.rounds[0].questions[REVEAL]["west"].reason
    for later in record.rounds[1:]:
        assert later.questions[ADVERTISE]["west"].outcome == "excluded"
        assert later.questions[ADVERTISE]["west"].code.value == "excluded"
    assert record.excluded == ["west"]
    assert "west takes no further part in training: it gave another secret" in caplog.text
    np.testing.assert_allclose(w(engine), WITH_WEST + 2 * WITHOUT_WEST, atol=1e-5)


@pytest.mark.long
def test_a_site_whose_shares_are_of_no_use_and_that_then_drops_out_blocks_few_attempts(run, sites):  # noqa: F811
    """It would have blocked every attempt of every round: the other sites' shares are all there is of it."""
    hospitals = sites(options={**STEPS, "west": {"silent_at": [(TRAIN, number) for number in range(5)]}})
    lie_in(hospitals["west"], SHARE, unreadable_shares)
    record, engine = run(hospitals, rounds=5, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    assert [one.attempts for one in record.rounds] == [2, 2, 1, 2, 1]  # out of 1, 2 and 4 attempts
    paused = record.rounds[0].questions[ADVERTISE]["west"]
    assert (paused.outcome, paused.code.value) == ("excluded", "secure_aggregation")
    assert "its secrets can't be recovered" in paused.reason
    np.testing.assert_allclose(w(engine), 5 * WITHOUT_WEST, atol=1e-5)
    assert not record.excluded


def test_a_site_that_lies_about_others_shares_excludes_nobody(run, sites):  # noqa: F811
    hospitals = sites(options=STEPS)

    def slander(session, text):
        return json.dumps({**json.loads(text), "lacking": ["east", "north", "south"]})

    def give_nothing(session, text):
        return json.dumps({**json.loads(text), "self_shares": {}})

    lie_in(hospitals["west"], CONFIRM, slander)
    lie_in(hospitals["west"], REVEAL, give_nothing)
    record, engine = run(hospitals)
    assert record.status == "finished", record.reason
    assert not record.excluded
    for one in record.rounds:
        assert {site.outcome for site in one.questions[REVEAL].values()} == {"answered"}
    np.testing.assert_allclose(w(engine), 2 * WITH_WEST, atol=1e-5)


@pytest.mark.long
def test_a_site_that_demands_more_sites_than_there_are_costs_itself_only(run, sites):  # noqa: F811
    hospitals = sites(options=STEPS)
    path = hospitals["west"].folder / "local" / PEERS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "min_survivors": 9}))
    assert PinnedPeers.read(path).policy.min_survivors == 9
    record, engine = run(hospitals)
    assert record.status == "finished", record.reason
    assert [one.attempts for one in record.rounds] == [1, 1]
    assert "demands min_survivors 9" in record.rounds[0].sites["west"].reason
    np.testing.assert_allclose(w(engine), 2 * WITHOUT_WEST, atol=1e-5)


@pytest.mark.parametrize("liars", [["south"], ["south", "west"]])
def test_sites_that_say_that_they_don_t_know_another_exclude_it_only_as_most_of_all(run, sites, liars):  # noqa: F811
    """One of four can't, so its word costs only itself; two of three others are most of them."""
    hospitals = sites(options=STEPS)
    for liar in liars:
        answer = hospitals[liar].dialogue.answer

        def lying(question, content, sets, answer=answer):
            given = answer(question, content, sets)
            if question == SHARE:
                given.content.update(message=None, unknown=["east"])
            return given

        hospitals[liar].dialogue.answer = lying
    record, _ = run(hospitals, rounds=1, quorum={"attempts": 1})
    first = record.rounds[0]
    assert {first.questions[SHARE][liar].code.value for liar in liars} == {"secure_aggregation"}
    assert "did not pin the identities of east" in first.questions[SHARE]["south"].reason
    assert record.status == ("finished" if len(liars) == 1 else "failed")
    assert not record.excluded
