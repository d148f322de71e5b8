"""A site that is missing from a sum is named for it, with the reason, at whatever question it dropped out."""

import pytest

from consilium.learning.algorithms.secagg_fedavg import ADVERTISE, CONFIRM, REVEAL
from consilium.records.outcome import determine_outcome
from consilium.report.training.cautions import list_cautions
from consilium.secagg.identity import IDENTITY_FILE

from .test_secagg_fedavg import QUESTIONS, SETTINGS, STEPS, run, sites  # noqa: F401 - fixtures


def about(site, record):
    """What the report's page says about a site, and what the command that waited for the job says."""
    return (
        [one for one in list_cautions(record) if one.startswith(f"{site} ")],
        [one.text for one in determine_outcome(record).reasons if site in one.text],
    )


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("stage", QUESTIONS)
def test_a_site_that_is_lost_is_named_if_its_update_is_not_in_the_sum(run, sites, stage):  # noqa: F811
    hospitals = sites(options={**STEPS, "west": {"step": 0.25, "silent_at": [(stage, 0)]}})
    record, _ = run(hospitals)
    assert record.status == "finished", record.reason
    page, said = about("west", record)
    if stage in (CONFIRM, REVEAL):
        assert record.rounds[0].sites["west"].outcome == "trained"
        assert not page
        assert not said
        return
    reason = "it died"
    assert record.rounds[0].sites["west"].reason == reason
    assert page[0].startswith(f"west is missing from round 1: {reason}. What to do: ")
    assert said == [f"round 1: west is not part of it: {reason}"]
    assert record.rounds[1].sites["west"].outcome == "trained"


def test_a_site_without_an_identity_is_named_with_what_it_lacks(run, sites):  # noqa: F811
    hospitals = sites(options=STEPS)
    (hospitals["west"].folder / "local" / IDENTITY_FILE).unlink()
    record, _ = run(hospitals)
    reason = record.rounds[0].questions[ADVERTISE]["west"].reason
    assert "no identity" in reason
    page, said = about("west", record)
    assert page[0].startswith(f"west is missing from every round and the last validation: {reason}. ")
    assert "consilium identity create" in page[0]
    assert said == [f"rounds 1 to 2, last validation: west is not part of it: {reason}"]


def test_a_site_for_which_a_sum_has_no_room_is_named_with_the_setting_and_never_at_fault(run, sites):  # noqa: F811
    chosen = {**SETTINGS, "most_sites": 3}
    hospitals = sites(options=STEPS, settings=chosen)
    record, _ = run(
        hospitals, algorithm=chosen, rounds=3, screening={"max_norm_ratio": None, "max_refusals": 1}
    )
    assert record.status == "finished", record.reason
    for one in record.rounds:
        assert one.summed.sites == 3
        [late] = [answer for answer in one.sites.values() if answer.outcome != "trained"]
        assert late.reason == "the sum has room for 3 sites (algorithm.most_sites), and as many were faster"
    assert not record.excluded
