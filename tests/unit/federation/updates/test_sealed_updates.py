"""What the server refuses of sealed updates, and of what a hospital makes of them."""

import numpy as np
import pytest

from consilium.aggregation.rules import AggregationSettings
from consilium.federation.updates.intake import Contribution
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.federation.updates.sealed_updates import CombinedUpdate, SealedUpdates
from consilium.learning.algorithms.sealed_plan import COMBINED, SEALED, UPDATE_NAME, CombinedAnswer
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport
from consilium.sealed.server_session import SealedServer
from consilium.secagg.messages import SumContext
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

WEIGHTS = {"w": np.zeros(2, np.float32)}
CASES = {"east": 6, "north": 3, "south": 3, "west": 3}
MEAN = {"w": np.ones(2, np.float32)}


def combined(fewest=3):
    return CombinedUpdate("east", CASES, fewest, WEIGHTS, AggregationSettings(max_site_share=1.0))


def answer(left_out=(), **sets):
    content = CombinedAnswer(left_out=dict.fromkeys(left_out, "length"))
    return Contribution(sets or {COMBINED: MEAN}, content=content)


def rejects(match):
    return pytest.raises(RejectedUpdate, match=match)


def test_only_the_hospital_with_the_turn_gives_a_mean_and_once():
    taken = combined()
    with rejects("not this site's turn"):
        taken.add("north", answer())
    assert taken.aggregate is None
    taken.add("east", answer())
    with rejects("or it has"):
        taken.add("east", answer(**{COMBINED: {"w": np.full(2, 9, np.float32)}}))
    np.testing.assert_array_equal(taken.aggregate.sets[MODEL]["w"], MEAN["w"])


@pytest.mark.parametrize("left_out", [("south", "west"), ("mars",)], ids=["too many", "a stranger"])
def test_a_mean_is_of_enough_of_the_updates_that_were_sent_to_it(left_out):
    taken = combined()
    with rejects("not of enough of the updates"):
        taken.add("east", answer(left_out))
    assert taken.aggregate is None
    taken.add("east", answer(["west"]))
    assert taken.aggregate.shares == pytest.approx({"east": 0.5, "north": 0.25, "south": 0.25})
    assert taken.aggregate.left_out.keys() == {"west"}


def test_an_encrypted_update_whose_report_can_not_be_right_is_not_kept(tmp_path):
    """The hospital with the turn weighs an update by the cases that the server found possible."""
    screening = Screening(ScreeningSettings(), BrainTumorSettings(local_steps=16), rounds=3)
    screening.note_prepared("north", 10)
    session = SealedServer(SumContext(job="job", round=0, attempt=1, parameters=bytes(32)))
    updates = SealedUpdates(session, WEIGHTS, screening, tmp_path)
    report = SiteReport(role="trains", train_cases=1000, validation_cases=2, steps=16)
    sealed = {SEALED: {UPDATE_NAME: np.ones(100, np.uint8)}}
    with rejects("1000 training cases, and the site had prepared 10"):
        updates.add("north", Contribution(sealed, report))
    assert not updates.cases
