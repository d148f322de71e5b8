"""How large a message and its arrays may be, in every kind of job."""

import numpy as np
import pytest
from nvflare.fuel.f3.cellnet.defs import CellChannel

from consilium.errors import ConfigurationError
from consilium.federation.transport.array_pieces import ArrayPieces, PieceCollector
from consilium.federation.transport.message_size import LARGEST_MESSAGE, limit_messages
from consilium.federation.transport.set_up import bound_messages, receive_on_disk
from federation.flare import Engine


def handlers(engine):
    channels = (CellChannel.SERVER_COMMAND, CellChannel.AUX_COMMUNICATION, CellChannel.RETURN_ONLY)
    return [engine.receivers.find(channel, "*").cb.__self__ for channel in channels]


def test_flare_refuses_larger_messages_before_it_makes_room_for_them(tmp_path):
    engine = Engine(tmp_path)
    bound_messages(engine, tmp_path)
    assert [handler.max_blob_size for handler in handlers(engine)] == [LARGEST_MESSAGE] * 3


def test_a_flare_that_receives_in_another_way_is_refused(tmp_path):
    engine = Engine(tmp_path)
    engine.receivers.reg.clear()
    with pytest.raises(ConfigurationError, match="size can't be limited"):
        limit_messages(engine.server.command_agent.cell)


def test_no_array_is_let_in_unless_the_job_expects_some(tmp_path):
    engine = Engine(tmp_path)
    bound_messages(engine, tmp_path)
    most = engine.fobs_context["consilium_arrivals_most_bytes"]
    collector = PieceCollector(lambda length: pytest.fail("room was made"), most)
    _, data, state = ArrayPieces({"w": np.ones(2)}, 100).produce(None, "north")
    with pytest.raises(ValueError, match="bytes are announced, and 0 allowed"):
        collector.consume("ref", state, data)
    receive_on_disk(engine, tmp_path, 1000)
    assert engine.fobs_context["consilium_arrivals_most_bytes"] == 1000
