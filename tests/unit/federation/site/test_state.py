import itertools

import pytest
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_component import FLComponent

from consilium.federation.message_names import SITE_STATE_EVENT
from consilium.federation.site import state as site_state
from consilium.federation.site.state import StateReporter
from federation.flare import Engine


@pytest.fixture
def engine(tmp_path):
    return Engine(tmp_path)


def reported(engine):
    return [from_shareable(data).data["done"] for event, data in engine.events if event == SITE_STATE_EVENT]


def test_a_short_round_is_followed_every_second_and_a_long_one_ever_more_seldom(engine, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(site_state.time, "monotonic", lambda: float(next(clock)))
    state = StateReporter(FLComponent())
    for second in range(3600):
        state.report(engine.context, "training", second, 3600)
    steps = reported(engine)
    assert steps[:20] == list(range(20))
    pauses = [later - earlier for earlier, later in itertools.pairwise(steps)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 15
    assert len(steps) < 320


def test_a_new_state_is_sent_at_once(engine, monkeypatch):
    monkeypatch.setattr(site_state.time, "monotonic", lambda: 7.0)
    state = StateReporter(FLComponent())
    for number, name in enumerate(["preparing", "preparing", "training", "training", "sent", "training"]):
        state.report(engine.context, name, number)
    assert reported(engine) == [0, 2, 4, 5]
