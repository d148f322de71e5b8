from types import SimpleNamespace

import pytest
from nvflare.fuel.f3.cellnet import cell as cell_module
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import CellChannel, MessageHeaderKey, MessageType
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.stats_pool import StatsPoolManager

from consilium.errors import ConfigurationError
from consilium.guard import guarded_cell
from consilium.guard.audit_log import record_rejected_message
from consilium.guard.guarded_cell import GuardedCell, guard_messages
from consilium.guard.site_commands import GuardedAdminAgent


@pytest.fixture
def site(monkeypatch):
    """A site's cell that is not connected, what reaches FLARE's own, and what is refused."""
    monkeypatch.setattr(CoreCell, "ALL_CELLS", {})
    monkeypatch.setattr(StatsPoolManager, "pools", {})
    cell = GuardedCell("north", "tcp://127.0.0.1:9", secure=False, credentials={})
    cell.taken, cell.refused = [], []
    monkeypatch.setattr(CoreCell, "process_message", lambda self, *row: self.taken.append(row[-1]))
    monkeypatch.setattr(guarded_cell, "record_rejected_message", lambda *row: cell.refused.append(row))
    return cell


def message(origin="server", channel="admin", topic="admin", **more):
    return Message(
        {
            MessageHeaderKey.ORIGIN: origin,
            MessageHeaderKey.DESTINATION: "north",
            MessageHeaderKey.MSG_TYPE: MessageType.REQ,
            MessageHeaderKey.CHANNEL: channel,
            MessageHeaderKey.TOPIC: topic,
            **more,
        }
    )


def test_what_is_listed_reaches_flare_and_the_rest_is_on_record(site):
    site.process_message(Endpoint("server"), None, 1, message())
    site.process_message(Endpoint("server"), None, 1, message("south"))
    site.process_message(Endpoint("server"), None, 1, Message(None))
    assert [one.get_header(MessageHeaderKey.ORIGIN) for one in site.taken] == ["server"]
    assert [(neighbor, bool(fault)) for neighbor, _, fault in site.refused] == [("server", True)] * 2


@pytest.mark.parametrize("error", [TypeError, KeyError, RecursionError])
def test_headers_that_the_rules_can_not_take_are_rejected(site, monkeypatch, error):
    def fault(self, neighbor, headers):
        raise error("x")

    monkeypatch.setattr(guarded_cell.MessageRules, "fault", fault)
    site.process_message(Endpoint("server"), None, 1, message())
    site.process_message(Endpoint("server"), None, 1, Message([1]))
    assert site.taken == []
    assert [error.__name__ in said or "list" in said for *_, said in site.refused] == [True, True]


def test_odd_headers_are_rejected_on_record(site, monkeypatch, audited):
    monkeypatch.setattr(guarded_cell, "record_rejected_message", record_rejected_message)
    deep = []
    for _ in range(5000):
        deep = [deep]
    for odd in (["x"], {"x": 1}, deep, None, 5):
        site.process_message(Endpoint("server"), None, 1, message(topic=odd))
        site.process_message(Endpoint("server"), None, 1, message(origin=odd))
        site.process_message(Endpoint("server"), None, 1, message(**{MessageHeaderKey.MSG_TYPE: odd}))
    assert site.taken == []
    assert {event["action"] for event in audited} == {"message_rejected"}


@pytest.mark.parametrize(
    "header", [MessageHeaderKey.CONN_URL, MessageHeaderKey.PASS_THROUGH, MessageHeaderKey.ROUTE]
)
def test_no_message_has_its_receiver_connect_elsewhere_or_keep_it_unread(site, header):
    site.process_message(Endpoint("server"), None, 1, message(**{header: "tcp://elsewhere.example:1"}))
    assert site.taken[0].get_header(header) is None


@pytest.mark.parametrize("kind", [MessageType.REPLY, MessageType.RETURN])
@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("waits", 1),
        (["waits"], 1),
        ("other", 0),
        (["other", "waits"], 1),
        ([], 0),
        (None, 0),
        ([["waits"]], 0),
    ],
)
def test_an_answer_to_no_request_is_not_unpacked(site, kind, asked, taken):
    site.waiters["waits"] = object()
    answer = {MessageHeaderKey.MSG_TYPE: kind, MessageHeaderKey.REQ_ID: asked}
    site.process_message(Endpoint("server"), None, 1, message(**answer))
    assert len(site.taken) == taken
    assert not site.refused


def test_an_answer_for_another_process_is_passed_on(site):
    job = "12345678-1234-4234-8234-123456789012"
    answer = {MessageHeaderKey.MSG_TYPE: MessageType.REPLY, MessageHeaderKey.REQ_ID: "of the job"}
    to_job = message(f"server.{job}", **answer, **{MessageHeaderKey.DESTINATION: f"north.{job}"})
    site.process_message(Endpoint("server"), None, 1, to_job)
    assert len(site.taken) == 1


def test_no_other_agent_than_the_guarded_one_takes_commands(site):
    agent = object.__new__(GuardedAdminAgent)
    site.register_request_cb(CellChannel.CLIENT_MAIN, "*", agent._dispatch_request)
    for other in (SimpleNamespace(take=lambda: None).take, print, site.stop):
        with pytest.raises(ConfigurationError, match="would take the server's commands"):
            site.register_request_cb(CellChannel.CLIENT_MAIN, "*", other)


def test_flare_s_cells_are_guarded_from_their_start(monkeypatch):
    monkeypatch.setattr(cell_module, "CoreCell", CoreCell)
    guard_messages()
    assert cell_module.CoreCell is GuardedCell
