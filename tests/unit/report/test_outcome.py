from consilium.report.outcome import judge_outcome
from consilium.report.records import SiteRound

from .study import federation


def test_all_sites_in_all_rounds_is_success():
    outcome = judge_outcome(federation())
    assert outcome.kind == "success"
    assert outcome.reasons == ()


def test_a_site_that_missed_one_round_makes_it_partial():
    record = federation()
    record.rounds[1].sites["birch"] = SiteRound(outcome="refused", reason="no case can be used")
    outcome = judge_outcome(record)
    assert outcome.kind == "partial"
    assert outcome.reasons == ("round 2: birch is not part of it: no case can be used",)


def test_a_site_that_refused_before_the_first_round_makes_it_partial():
    record = federation(preparation={"dahlia": SiteRound(outcome="no answer")})
    assert judge_outcome(record).reasons == ("preparation: dahlia is not part of it: no answer",)


def test_a_run_that_did_not_end_is_a_failure():
    assert judge_outcome(federation(status="running")).kind == "failure"
    failed = judge_outcome(federation(status="failed", reason="too few sites"))
    assert failed.kind == "failure"
    assert failed.reasons[0] == "too few sites"


def test_a_run_that_no_site_judged_is_a_failure():
    assert judge_outcome(federation(final_scores={})).kind == "failure"
