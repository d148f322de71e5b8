import json

import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import EventScope, FLContextKey, ReservedKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from consilium.federation.progress import ProgressReceiver
from consilium.report.progress import read_progress

from .flare import Engine


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path, {"progress": ProgressReceiver()})
    engine.fire_event(EventType.START_RUN, engine.context)
    return engine


def say(engine, site, **data):
    """As FLARE hands over what a site said: a federation event, the sender in the peer's properties."""
    message = DXO(DataKind.ANALYTIC, data=data).to_shareable()
    message.set_peer_props({ReservedKey.IDENTITY_NAME: site})
    context = engine.new_context()
    context.set_prop(FLContextKey.EVENT_SCOPE, EventScope.FEDERATION, private=True, sticky=False)
    context.set_prop(FLContextKey.EVENT_DATA, message, private=True, sticky=False)
    engine.fire_event("fed.consilium_site_state", context)


def start_round(engine, index, rounds):
    engine.context.set_prop(AppConstants.CURRENT_ROUND, index, private=True, sticky=False)
    engine.context.set_prop(AppConstants.NUM_ROUNDS, rounds, private=True, sticky=False)
    engine.fire_event(AppEventType.ROUND_STARTED, engine.context)


def test_before_the_first_round_there_is_a_file_without_sites(engine):
    progress = read_progress(engine.run_folder)
    assert (progress.round, progress.rounds, progress.sites) == (0, 0, {})


def test_rounds_count_from_one_and_every_site_has_its_last_state(engine):
    start_round(engine, 1, 5)
    say(engine, "north", state="training", done=3, total=40, loss=0.5)
    say(engine, "south", state="validating", done=1, total=2, loss=None)
    say(engine, "north", state="training", done=12, total=40, loss=0.4)
    progress = read_progress(engine.run_folder)
    assert (progress.round, progress.rounds) == (2, 5)
    assert {name: str(state) for name, state in progress.sites.items()} == {
        "north": "training 12/40",
        "south": "validating 1/2",
    }
    assert progress.sites["north"].loss == 0.4


def test_a_site_can_neither_flood_nor_break_the_file(engine):
    say(engine, "evil", state="x" * 100_000, done=1, total=2, loss=None)
    say(engine, "evil", state="sent", done="many", total=2, loss=None)
    assert len(read_progress(engine.run_folder).sites["evil"].state) == 80
    assert len(json.dumps(json.loads((engine.run_folder / "progress.json").read_text()))) < 1000
