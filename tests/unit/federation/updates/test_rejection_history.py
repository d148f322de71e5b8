import json

import pytest
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from consilium.federation.component_state import DurableState
from consilium.federation.message_names import REFUSAL_HEADER
from consilium.federation.updates.rejection_history import Rejections

EXCLUDED = "excluded from training after 3 rejected answers in a row, the last: reason worst"


def refused(*sites, limit=3):
    refusals = Rejections(limit)
    for site in sites:
        refusals.note(site, f"reason {site}")
    return refusals


def test_a_site_is_excluded_after_too_many_rejections_in_a_row():
    refusals = refused("evil", "evil", "clumsy")
    assert refusals.exclusion("evil") is None
    refusals.note("evil", "too long")
    assert refusals.exclusion("evil") == (
        "excluded from training after 3 rejected answers in a row, the last: too long"
    )
    assert refusals.exclusion("clumsy") is None


def test_an_answer_that_is_used_resets_the_count():
    refusals = refused("clumsy", "clumsy")
    refusals.clear("clumsy")
    refusals.note("clumsy", "again")
    assert refusals.exclusion("clumsy") is None


def test_without_a_limit_nobody_is_excluded():
    assert refused(*["evil"] * 100, limit=None).exclusion("evil") is None


def test_an_excluded_site_stays_so_after_the_server_was_restarted():
    restarted = Rejections(3)
    kept = refused("evil", "evil", "evil").state()
    restarted.restore(DurableState(json.loads(json.dumps(kept.values))))
    assert "reason evil" in restarted.exclusion("evil")


@pytest.mark.parametrize(
    ("site", "reported"), [("evil", "reason evil"), ("good", None), ("once", None), ("worst", EXCLUDED)]
)
def test_a_site_learns_with_its_next_task_why_its_own_answer_was_rejected(site, reported):
    refusals = refused("evil", "once", "worst", "worst", "worst")
    refusals.clear("once")
    context, peer, task = FLContext(), FLContext(), Shareable()
    peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
    context.set_peer_context(peer)
    context.set_prop(FLContextKey.TASK_DATA, task, private=True, sticky=False)
    refusals.attach_reason(context)
    assert task.get_header(REFUSAL_HEADER) == reported


def test_a_site_that_is_at_fault_is_excluded_at_once_and_for_good():
    refusals = refused(limit=None)
    assert refusals.exclude("evil", "it gave a false share")
    assert not refusals.exclude("evil", "it gave another one")
    refusals.clear("evil")
    restored = Rejections(None)
    restored.restore(DurableState(json.loads(json.dumps(refusals.state().values))))
    for one in (refusals, restored):
        assert one.exclusion("evil") == "excluded from training: it gave a false share"
        assert one.exclusion("clumsy") is None
        assert one.excluded == ["evil"]


def test_a_checkpoint_of_an_earlier_version_has_no_sites_at_fault():
    values = {name: value for name, value in refused("evil").state().values.items() if name != "at_fault"}
    restored = Rejections(3)
    restored.restore(DurableState(values))
    assert restored.excluded == []
