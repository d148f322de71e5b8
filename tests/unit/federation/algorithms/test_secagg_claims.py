"""What a site claims about sums that were opened before is believed only where it can be so."""

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply

from consilium.federation.message_names import CODE_HEADER, REASON_HEADER
from consilium.learning.algorithms.secagg_plan import REVEAL

from .test_secagg_fedavg import run, sites  # noqa: F401 - fixtures

CLAIM = {REASON_HEADER: "it opened a sum of this round before", CODE_HEADER: "round_opened"}


def claiming(site):
    """Have a site refuse to open any sum, as it had opened another one of the round."""
    answer = site.reply

    def reply(task, model):
        return make_reply(ReturnCode.EXECUTION_EXCEPTION, CLAIM) if task == REVEAL else answer(task, model)

    site.reply = reply


def test_a_site_without_which_no_sum_opens_can_t_have_all_rounds_skipped_in_a_job_that_ends_well(
    run,  # noqa: F811
    sites,  # noqa: F811
):
    hospitals = sites(("east", "north", "west"))
    claiming(hospitals["west"])
    record, _ = run(hospitals, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "failed"
    assert "2 sites gave their shares, and at least 3 must" in record.reason
    assert record.rounds[0].attempts == 2
