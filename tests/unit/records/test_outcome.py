import pytest
from federation.readiness import readiness, site
from report.grading import GRADING
from report.statistics.records import record as statistics
from report.study import federation, site_report

from consilium.errors import RefusalCode
from consilium.records.bounds import MissingSite
from consilium.records.federation import SiteRound
from consilium.records.outcome import determine_outcome


def texts(outcome):
    return tuple(str(one) for one in outcome.reasons)


def test_all_sites_in_all_rounds_is_success():
    outcome = determine_outcome(federation())
    assert outcome.kind == "success"
    assert texts(outcome) == ()


def test_a_site_that_missed_one_round_makes_it_partial():
    record = federation()
    record.rounds[1].sites["birch"] = SiteRound(
        outcome="refused", reason="no case can be used", code="no_labeled_case"
    )
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert texts(outcome) == ("round 2: birch is not part of it: no case can be used",)
    assert [one.code for one in outcome.reasons] == [RefusalCode.NO_LABELED_CASE]


def test_one_reason_in_many_rounds_is_reported_once():
    record = federation()
    gone = SiteRound(outcome="refused", reason="no case can be used")
    record.preparation["birch"] = gone
    for one in (*(round_record.sites for round_record in record.rounds), record.final_sites):
        one["birch"] = gone
    last = len(record.rounds)
    assert texts(determine_outcome(record)) == (
        f"preparation, rounds 1 to {last}, final evaluation: birch is not part of it: no case can be used",
    )


def test_a_site_that_missed_the_last_validation_or_the_best_models_test_makes_it_partial():
    record = federation()
    record.validation_sites = {**record.final_sites, "birch": SiteRound(outcome="no answer", code="late")}
    record.best_sites = {name: one for name, one in record.final_sites.items() if name != "cedar"}
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert texts(outcome) == (
        "last validation: birch is not part of it: no answer",
        "evaluation of the best model: cedar is not part of it: it was not connected when the others were "
        "asked",
    )
    assert [reason.task for reason in outcome.reasons] == ["validate", "test"]


def test_a_dropped_round_makes_it_partial_and_without_any_that_counts_there_is_no_trained_model():
    record = federation()
    record.rounds[0].rolled_back = "its model is worse"
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert texts(outcome) == ("round 1 was dropped: its model is worse",)
    for one in record.rounds:
        one.rolled_back = "its model is worse"
    outcome = determine_outcome(record)
    assert outcome.kind == "failure"
    assert texts(outcome)[0] == "no round counts, so the final model is the one that the job started from"
    assert {one.code for one in outcome.reasons} == {RefusalCode.ROUND_DROPPED}


def test_a_site_that_joined_late_makes_it_partial():
    record = federation()
    del record.rounds[0].sites["birch"]
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert texts(outcome) == (
        "round 1: birch is not part of it: it was not connected when the others were asked",
    )


def test_a_site_that_declined_before_the_first_round_makes_it_partial():
    record = federation(preparation={"dahlia": SiteRound(outcome="no answer")})
    assert texts(determine_outcome(record)) == ("preparation: dahlia is not part of it: no answer",)


def test_a_run_that_did_not_end_is_a_failure():
    assert determine_outcome(federation(status="running")).kind == "failure"
    failed = determine_outcome(federation(status="failed", reason="too few sites"))
    assert failed.kind == "failure"
    assert texts(failed)[0] == "too few sites"


def test_a_run_of_sites_with_too_few_patients_to_evaluate_on_says_so():
    record = federation(final_scores={})
    for one in record.final_sites.values():
        one.report = site_report("aster", test_cases=None)
    outcome = determine_outcome(record)
    assert outcome.kind == "failure"
    assert "min_training_patients" in texts(outcome)[0]


def test_a_run_that_no_site_evaluated_is_a_failure():
    outcome = determine_outcome(federation(final_scores={}))
    assert (outcome.kind, texts(outcome)) == ("failure", ("no hospital sent a score of the final model",))


def test_a_run_that_was_aborted_after_its_last_round_is_a_failure():
    record = federation(status="failed", reason="aborted in the final validation")
    assert determine_outcome(record).kind == "failure"
    assert texts(determine_outcome(record)) == ("aborted in the final validation",)


def test_a_check_is_a_success_when_every_site_can_do_what_its_hospital_decided():
    clinic = site("evaluate", role="evaluates", reason="it only evaluates, as the hospital decided")
    assert determine_outcome(readiness(north="train", clinic=clinic)).kind == "success"


def test_a_site_that_can_only_evaluate_without_having_decided_so_is_not_ready():
    small = site("evaluate", reason="one usable labeled patient", left_out={"truncated": None, "not_3d": 7})
    record = readiness(north="train", small=small)
    record.missing["west"] = MissingSite(reason="versions do not fit", code=RefusalCode.VERSIONS)
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert texts(outcome) == (
        "small is not ready: one usable labeled patient (left out: few truncated, 7 not_3d)",
        "west is not ready: versions do not fit",
    )
    assert [reason.code for reason in outcome.reasons] == [None, RefusalCode.VERSIONS]


def test_a_check_after_which_no_site_can_train_is_a_failure():
    outcome = determine_outcome(readiness(clinic=site("evaluate", role="evaluates")))
    assert (outcome.kind, texts(outcome)) == ("failure", ("no site can train",))
    assert determine_outcome(readiness()).kind == "failure"


def test_statistics_are_partial_without_a_site_and_a_failure_when_the_job_failed():
    sites = {"north": 3, "south": 4}
    assert determine_outcome(statistics(sites)).kind == "success"
    missing = determine_outcome(statistics(sites, missing={"west": "its disk is away"}))
    assert missing.kind == "partial"
    assert texts(missing) == ("west is not part of the statistics: its disk is away",)
    assert missing.reasons[0].code == RefusalCode.DATASET
    failed = statistics({}, missing={"west": "its disk is away"})
    failed.status, failed.reason = "failed", "it ended early"
    outcome = determine_outcome(failed)
    assert outcome.kind == "failure"
    assert texts(outcome)[0] == "it ended early"


@pytest.mark.parametrize(
    ("metrics", "setting"), [(None, "min_training_patients"), (GRADING.metrics, "min_count")]
)
def test_scores_that_all_sites_hold_back_are_reported_with_the_setting_that_holds_them(metrics, setting):
    record = federation(final_scores={})
    if metrics is not None:
        record.metrics = metrics
    for one in record.final_sites.values():
        one.report.test_cases = None
    (reason,) = determine_outcome(record).reasons
    assert reason.text.endswith(f"fewer patients than its {setting}")
    assert reason.code is RefusalCode.SCORES_HELD_BACK
    assert "sets this minimum lower" in reason.remedy


def test_a_check_that_finds_no_hospital_that_would_send_scores_is_partial():
    silent = site("train", score_minimum=5, score_setting="min_count")
    outcome = determine_outcome(readiness(north=silent, south=silent))
    assert outcome.kind == "partial"
    assert texts(outcome) == (
        "no hospital would send a score of any model: north, south would withhold them (min_count)",
    )
    assert outcome.reasons[0].code is RefusalCode.SCORES_HELD_BACK
    for scoring in (
        site("train", tests=True, score_minimum=3),
        site("evaluate", role="evaluates", tests=True),
    ):
        assert determine_outcome(readiness(north=silent, south=scoring)).kind == "success"
