import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.sec.audit import AuditService

from consilium.errors import RefusalCode
from consilium.guard import audit_log
from consilium.guard.audit_log import AuditLog, audit_text, record_rejected_message


@pytest.fixture
def entries(audited, monkeypatch):
    monkeypatch.setattr(audit_log, "_refusals", AuditLog())
    return audited


def test_a_kind_of_refusal_is_written_once_and_then_counted(audited, monkeypatch):
    log = AuditLog()
    for _ in range(1000):
        log.record("south", RefusalCode.MESSAGE, "x")
    log.record("south", RefusalCode.MESSAGE, "y")
    assert [entry["msg"] for entry in audited] == ["x", "y"]
    monkeypatch.setattr("consilium.guard.audit_log.time.monotonic", lambda: 1e9)
    log.record("south", RefusalCode.MESSAGE, "x")
    assert audited[-1] == {
        "user": "south",
        "action": "message_rejected",
        "msg": "x (999 more since the last entry)",
    }


def test_a_flood_of_kinds_is_bounded(audited):
    log = AuditLog()
    for number in range(2_500):
        log.record(f"south{number}", RefusalCode.MESSAGE, "x" * 10_000)
    assert len(audited) <= 2001
    assert audited[-1]["user"] == "many"
    assert sum(len(str(entry)) for entry in audited) < 1_500_000


@given(
    who=st.text(),
    headers=st.dictionaries(st.sampled_from([MessageHeaderKey.ORIGIN, MessageHeaderKey.TOPIC]), st.text()),
    fault=st.text(),
)
def test_whatever_a_name_holds_an_entry_is_one_line_of_plain_text(who, headers, fault):
    entries = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_log, "_refusals", AuditLog())
        patch.setattr(AuditService, "add_event", lambda **entry: entries.append(entry))
        record_rejected_message(who, headers, fault)
    for text in (entries[0]["user"], entries[0]["msg"]):
        assert text.isascii()
        assert text.isprintable() or not text
        assert len(text) <= 500
        assert not set(text) & {"[", "]"}


def test_an_entry_says_who_wanted_what(entries):
    record_rejected_message(
        "south", {MessageHeaderKey.ORIGIN: "server", MessageHeaderKey.TOPIC: "x\n[U:admin]"}, "no"
    )
    assert entries[0]["user"] == "south"
    assert entries[0]["msg"] == "from server topic x\\n(U:admin): no"
    assert audit_text("é\x1b[0m") == "\\xe9\\x1b(0m"
