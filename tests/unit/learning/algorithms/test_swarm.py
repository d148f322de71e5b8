"""What a site refuses to encrypt: an update that is not the one that the hospitals agreed on."""

from dataclasses import replace

import numpy as np
import pytest

from consilium.aggregation.rules import AggregationSettings
from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.algorithms import site_dialogue
from consilium.learning.algorithms.dialogue import SitePlace, UpdateOrigin
from consilium.learning.algorithms.sealed_plan import (
    ACCEPT,
    COMBINE,
    COMBINED,
    SEALED,
    UPDATE_NAME,
    RoundAnnouncement,
    SwarmAlgorithmSettings,
    digest_model,
)
from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, digest_training
from consilium.learning.weights import MODEL
from consilium.secagg.local_federation import exchange_identities
from consilium.secagg.messages import Advertisement, Roster
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

SETTINGS = SwarmAlgorithmSettings()
LEARNING = BrainTumorSettings()
ROUNDS, ROUND = 4, 2
NAMES = ("east", "north", "west")
WEIGHTS = {"w": np.zeros(2, np.float32)}
ORIGIN = UpdateOrigin(WEIGHTS, 3, ROUND, ROUNDS, LEARNING)
UPDATE = {MODEL: {"w": np.ones(2, np.float32)}, SEALED: {}, COMBINED: {}}


@pytest.fixture
def places(tmp_path):
    folders = {name: tmp_path / name for name in NAMES}
    for folder in folders.values():
        folder.mkdir()
    exchange_identities(folders)
    return {
        name: SitePlace(name, "a-job", "a-training", True, folder, tmp_path / f"state-{name}")
        for name, folder in folders.items()
    }


def announcement(number=ROUND):
    return RoundAnnouncement(
        attempt=1,
        round=number,
        training=digest_training(LEARNING, SETTINGS, ROUNDS),
        model=digest_model(WEIGHTS),
        rule=AggregationSettings(),
        max_norm_ratio=None,
    )


def accepted(places, number=ROUND):
    """The sites' dialogues, once each has accepted the others for a round."""
    announced, dialogues, keys = announcement(number), {}, []
    for name, place in places.items():
        dialogues[name] = site_dialogue(SETTINGS)
        dialogues[name].enter(place)
        answer = dialogues[name].answer(ADVERTISE, announced.model_dump(mode="json"), {})
        keys.append(Advertisement.from_json(answer.content["message"]))
    roster = Roster(context=keys[0].context, advertisements=keys)
    for dialogue in dialogues.values():
        dialogue.answer(ACCEPT, {"message": roster.to_json()}, {})
    return dialogues


def declines(match):
    return pytest.raises(SiteRefusal, match=match)


def test_an_update_of_the_round_that_all_agreed_on_is_encrypted(places):
    sealed = accepted(places)["north"].seal(UPDATE, {}, ORIGIN)
    assert (sealed[MODEL], sealed[COMBINED]) == ({}, {})
    assert UPDATE[MODEL]["w"].tobytes() not in sealed[SEALED][UPDATE_NAME].tobytes()


OTHERS = {
    "another round": ({"round_index": ROUND + 1}, "of another round or training"),
    "other settings": (
        {"learning": BrainTumorSettings(learning_rate=0.5)}, "other settings, or for another number of"),
    "more rounds": ({"rounds": ROUNDS + 1}, "other settings, or for another number of rounds"),
    "another model": ({"received": {"w": np.ones(2, np.float32)}}, "not the one that the others have signed"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), OTHERS.values(), ids=OTHERS)
def test_an_update_that_is_not_of_what_the_others_agreed_on_is_not_encrypted(places, change, reason):
    """Of a model or settings of its own, a server would know one hospital's update from the mean."""
    north = accepted(places)["north"]
    with declines(reason) as refused:
        north.seal(UPDATE, {}, replace(ORIGIN, **change))
    assert refused.value.code is RefusalCode.SECURE_AGGREGATION
    assert north.seal(UPDATE, {}, ORIGIN)[SEALED]  # the refusal has changed nothing


def test_an_update_belongs_to_the_training_whose_means_are_remembered(places):
    """By another id, a copy of the job would have two means of the same updates."""
    north = accepted(places)["north"]
    north.enter(replace(places["north"], run="another-training"))
    with declines("of another round or training"):
        north.seal(UPDATE, {}, ORIGIN)


@pytest.mark.parametrize("number", [ROUNDS, ROUNDS + 7])
def test_a_job_has_no_round_after_its_last(places, number):
    """Each more round would be one more mean of updates by the last learning rate."""
    north = accepted(places, number)["north"]
    with declines(f"a job of {ROUNDS} rounds has none of number {number}, from 0"):
        north.seal(UPDATE, {}, replace(ORIGIN, round_index=number))


def test_without_an_update_of_its_own_a_hospital_opens_none(places):
    east = accepted(places)["east"]
    with declines("sealed no update in this attempt"):
        east.answer(COMBINE, {"message": "", "cases": {}}, {})


@pytest.mark.parametrize("question", [ACCEPT, CONFIRM, COMBINE])
def test_a_site_that_gave_no_keys_has_no_part(places, question):
    dialogue = site_dialogue(SETTINGS)
    dialogue.enter(places["north"])
    with declines("no part in the round: it gave no keys, or was restarted"):
        dialogue.answer(question, {"message": "{}"}, {})
    with declines("no part in the round"):
        dialogue.seal(UPDATE, {}, ORIGIN)


def test_keys_of_an_attempt_are_given_once_also_after_a_restart(places):
    accepted(places)
    restarted = site_dialogue(SETTINGS)
    restarted.enter(places["north"])
    with declines("attempt 1 of this job is refused"):
        restarted.answer(ADVERTISE, announcement().model_dump(mode="json"), {})
