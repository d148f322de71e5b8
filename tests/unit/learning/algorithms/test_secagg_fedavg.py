"""What a site refuses of a server that wants a second sum of the same updates or scores."""

from dataclasses import replace

import numpy as np
import pytest

from consilium.errors import SiteRefusal
from consilium.learning.algorithms import site_dialogue
from consilium.learning.algorithms.dialogue import SitePlace, UpdateOrigin
from consilium.learning.algorithms.secagg_plan import (
    ADVERTISE,
    SUMS,
    VALIDATION_ROUNDS,
    SecAggFedAvgSettings,
    plan_sum,
)
from consilium.learning.weights import MODEL
from consilium.secagg.local_federation import exchange_identities
from consilium.secagg.peers import PEERS_FILE, PinnedPeers
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

SETTINGS = SecAggFedAvgSettings()
LEARNING = BrainTumorSettings()
ROUNDS = 4
WEIGHTS = {"w": np.zeros(2, np.float32)}


@pytest.fixture
def place(tmp_path):
    folders = {name: tmp_path / name for name in ("north", "east", "west")}
    for folder in folders.values():
        folder.mkdir()
    exchange_identities(folders)
    return SitePlace("north", "a-job", "a-job", True, folders["north"], tmp_path / "state")


def advertised(place, number, settings=SETTINGS, attempt=1):
    """A site's dialogue that has advertised its keys for a sum of a round, counted as the server does."""
    dialogue = site_dialogue(settings)
    dialogue.enter(place)
    plan = plan_sum(settings, LEARNING, ROUNDS, number % VALIDATION_ROUNDS, WEIGHTS)
    content = {"attempt": attempt, "round": number, "plan": plan.model_dump(mode="json")}
    dialogue.answer(ADVERTISE, content, {})
    return dialogue


def origin(round_index):
    return UpdateOrigin(WEIGHTS, 3, round_index, ROUNDS, LEARNING, 0.5, {})


@pytest.mark.parametrize("round_index", [0, ROUNDS - 1, ROUNDS + 1])
def test_scores_without_an_update_are_summed_once_after_the_last_round(place, round_index):
    """Two sums of one model's scores, with and without a site, would show that site's scores."""
    dialogue = advertised(place, VALIDATION_ROUNDS + round_index)
    with pytest.raises(SiteRefusal, match="after the last round only"):
        dialogue.seal({SUMS: {}}, {}, origin(round_index))


def test_after_the_last_round_they_are(place):
    dialogue = advertised(place, VALIDATION_ROUNDS + ROUNDS)
    with pytest.raises(SiteRefusal, match="shares did not come"):  # the next thing that it wants
        dialogue.seal({SUMS: {}}, {}, origin(ROUNDS))


@pytest.mark.parametrize("round_index", [ROUNDS, ROUNDS + 7])
def test_no_update_is_summed_after_the_last_round(place, round_index):
    dialogue = advertised(place, round_index)
    with pytest.raises(SiteRefusal, match=f"a job of {ROUNDS} rounds has none of number {round_index}"):
        dialogue.seal({MODEL: WEIGHTS, SUMS: {}}, {}, origin(round_index))


def test_an_update_belongs_to_the_training_whose_openings_are_remembered(place):
    """By another id, a copy of the job would open a sum of the same updates without one of the sites."""
    dialogue = advertised(replace(place, run="another-training"), 0)
    dialogue.enter(place)
    with pytest.raises(SiteRefusal, match="another training"):
        dialogue.seal({MODEL: WEIGHTS, SUMS: {}}, {}, origin(0))


def test_hospitals_that_are_pinned_during_a_noisy_sum_count_from_the_next_one_on(place):
    """The ledger reads the pins at its payment: with more of them it would count the noise of more sites."""
    noisy = SecAggFedAvgSettings(max_norm=2.0, hospital_noise=1.5)
    dialogue = advertised(place, 0, noisy)
    counted = noisy.sum_noise(place.local)
    pinned = PinnedPeers.read(place.local / PEERS_FILE)
    for number in range(4):
        pinned = pinned.pin(f"new-{number}", bytes([number] * 32))
    assert noisy.sum_noise(place.local) > counted
    with pytest.raises(SiteRefusal, match="changed during this sum"):
        dialogue.seal({MODEL: WEIGHTS, SUMS: {}}, {}, origin(0))
    with pytest.raises(SiteRefusal, match="shares did not come"):  # the next thing that it wants
        advertised(place, 0, noisy, attempt=2).seal({MODEL: WEIGHTS, SUMS: {}}, {}, origin(0))
