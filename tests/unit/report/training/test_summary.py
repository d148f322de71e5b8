import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from consilium.records.federation import FederationRecord, SiteRound
from consilium.report.training.page import render_page
from consilium.report.training.study import StudyReport
from consilium.report.training.summary import summarize_study
from report.study import SECONDS, baselines, federation, scores, site_round


def as_json(report: StudyReport) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    content: dict[str, Any] = json.loads(report.to_json(), parse_constant=refuse)
    return content


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return as_json(summarize_study(federation(), baselines=baselines(), seconds=SECONDS))


def test_means_over_hospitals(content: dict[str, Any]) -> None:
    # Dice 0.84, 0.80, 0.76, 0.72; WT is 0.06 above; HD95 is 1 mm above 40 * (1 - Dice).
    assert content["summary"]["global"] == pytest.approx(
        {
            "dice": 0.78,
            "dice_tc": 0.78,
            "dice_wt": 0.84,
            "dice_et": 0.72,
            "hd95": 9.8,
            "hd95_tc": 8.8,
            "hd95_wt": 9.8,
            "hd95_et": 10.8,
        }
    )
    assert content["summary"]["worst_site"] == "dahlia"
    assert content["summary"]["worst_site_score"] == pytest.approx(0.72)
    assert content["summary"]["pooled"]["dice"] == pytest.approx(0.79)
    # 3 models evaluated at 4 hospitals: 0.04 below at home (3 of 12), 0.20 below elsewhere.
    assert content["summary"]["local"]["dice"] == pytest.approx(0.78 - (3 * 0.04 + 9 * 0.20) / 12)


def test_a_hospital_s_own_comparison(content: dict[str, Any]) -> None:
    aster = content["sites"]["aster"]
    assert aster["role"] == "trains"
    assert (aster["train_cases"], aster["validation_cases"]) == (10, 4)
    assert aster["global"]["dice"] == pytest.approx(0.84)
    assert aster["own"]["dice"] == pytest.approx(0.80)
    assert aster["local"]["dice"] == pytest.approx((0.80 + 0.64 + 0.64) / 3)
    assert aster["pooled"]["dice"] == pytest.approx(0.85)
    assert aster["steps"] == 5 * 40
    assert aster["weight"] == pytest.approx(10 / 26)
    assert content["sites"]["dahlia"]["role"] == "evaluates"
    assert content["sites"]["dahlia"]["own"] is None
    assert content["sites"]["dahlia"]["local"]["dice"] == pytest.approx(0.52)


def test_rounds_seconds_and_bytes(content: dict[str, Any]) -> None:
    last = content["rounds"][-1]
    assert [one["number"] for one in content["rounds"]] == [1, 2, 3, 4, 5]
    assert last["overhead_seconds"] == pytest.approx(12.5 - 11.0)
    assert last["scores"]["dice"] == pytest.approx(0.78)
    assert last["sites"]["birch"]["scores"]["dice"] == pytest.approx(0.80)
    assert last["sites"]["birch"]["loss"] == pytest.approx(1.2 / 5.5)
    assert content["bytes"]["aster"] == {"sent": 6 * 1_800_000, "received": 6 * 1_900_000}
    assert content["seconds"] == SECONDS | {"local": 120.0, "pooled": 90.0}


def test_rounds_are_compared_over_the_hospitals_that_evaluated_the_last_model() -> None:
    record = federation()
    del record.rounds[1].scores["dahlia"]  # a hard hospital: the mean without it would be higher
    for one in [*(one.scores for one in record.rounds[3:]), record.final_scores]:
        del one["cedar"]
    report = summarize_study(record, baselines=None, seconds={})
    assert report.compared_sites == ["aster", "birch", "dahlia"]
    assert [one.scores is None for one in report.rounds] == [False, True, False, False, False]
    assert report.rounds[-1].scores is not None
    assert report.rounds[-1].scores["dice"] == pytest.approx((0.84 + 0.80 + 0.72) / 3)
    assert report.summary.global_ is not None
    assert report.summary.global_["dice"] == pytest.approx(report.rounds[-1].scores["dice"])


def test_rounds_are_compared_over_those_of_the_restored_model_where_the_last_round_was_dropped() -> None:
    record = federation()
    record.rounds[-1].rolled_back = "its model scored lower"
    record.rounds[-1].scores = {"aster": scores(0.1, distances=False)}
    report = summarize_study(record, baselines=None, seconds={})
    assert report.compared_sites == ["aster", "birch", "cedar", "dahlia"]


def test_rounds_are_compared_without_an_excluded_hospital() -> None:
    record = federation(excluded=["cedar"])
    for one in record.rounds[2:]:
        del one.scores["cedar"]
    report = summarize_study(record, baselines=None, seconds={})
    assert report.compared_sites == ["aster", "birch", "dahlia"]
    assert all(one.scores for one in report.rounds)


def test_rounds_of_a_run_that_failed_are_compared_over_those_of_its_last_evaluation() -> None:
    record = _failed()
    record.rounds[-1].scores = {}
    report = summarize_study(record, baselines=None, seconds={})
    assert report.compared_sites == ["aster", "birch", "cedar", "dahlia"]
    assert [one.scores is None for one in report.rounds] == [False, True]


def test_a_record_with_a_setting_that_jobs_no_longer_have_can_be_reported() -> None:
    record = federation()
    record.settings["learning"]["validation_fraction"] = 0.25
    report = summarize_study(record, baselines=None, seconds={})
    assert report.task == "brain_tumor"
    assert "validation_fraction" in render_page(report, curves=b"", dark_curves=b"", patients={})


def test_without_baselines_there_is_nothing_to_compare_with() -> None:
    content = as_json(summarize_study(federation(), baselines=None, seconds={}))
    assert content["summary"]["local"] is None
    assert content["summary"]["pooled"] is None
    assert content["sites"]["aster"]["own"] is None
    assert content["local_models"] == {}
    assert set(content["seconds"].values()) == {None}


def test_baselines_are_averaged_over_the_patients_of_the_global_model() -> None:
    record = federation()
    del record.final_scores["dahlia"]
    report = summarize_study(record, baselines=baselines(), seconds={})
    assert report.summary.global_ is not None
    assert report.summary.pooled is not None
    assert report.summary.pooled["dice"] - report.summary.global_["dice"] == pytest.approx(0.01)
    assert report.summary.local is not None
    assert report.summary.local["dice"] == pytest.approx(0.80 - (3 * 0.04 + 6 * 0.20) / 9)


def test_a_site_that_never_reported_is_listed_without_numbers() -> None:
    record = federation()
    for sites in [*(one.sites for one in record.rounds), record.final_sites]:
        sites["birch"] = sites["birch"].model_copy(update={"outcome": "no answer", "report": None})
    del record.final_scores["birch"]
    birch = summarize_study(record, baselines=None, seconds={}).sites["birch"]
    assert (birch.role, birch.train_cases, birch.global_, birch.rounds_trained) == (None, None, None, 0)


def test_a_run_that_failed_has_rounds_but_no_final_scores() -> None:
    report = summarize_study(_failed(), baselines=None, seconds={})
    assert report.summary.global_ is None
    assert report.summary.worst_site is None
    assert len(report.rounds) == 2


def test_bytes_are_still_counted_when_a_site_s_process_restarts() -> None:
    record = federation(rounds=4, final_sites={})
    for one, sent in zip(record.rounds, (100, 250, 40, 90), strict=True):
        one.sites["aster"] = site_round("aster", bytes_sent=sent)
    report = summarize_study(record, baselines=None, seconds={})
    assert report.bytes["aster"].sent == 250 + 90


def test_a_setting_that_is_not_finite_becomes_null() -> None:
    record = federation()
    record.settings["weight"] = math.inf
    content = as_json(summarize_study(record, baselines=None, seconds={}))
    assert content["settings"]["weight"] is None


def test_a_score_that_is_not_finite_is_an_error() -> None:
    record = federation()
    record.final_scores["aster"] = scores(math.nan)
    with pytest.raises(ValidationError, match="finite number"):
        summarize_study(record, baselines=None, seconds={})


def test_an_unknown_part_of_the_time_is_an_error() -> None:
    with pytest.raises(ValidationError, match="federatd"):
        summarize_study(federation(), baselines=None, seconds={"federatd": 3.0})


def _failed() -> FederationRecord:
    return federation(
        rounds=2, status="failed", reason="too few updates", final_scores={}, final_sites={}, rounds_planned=9
    )


def test_the_outcome_tells_success_from_partial_from_failure() -> None:
    missed = federation()
    missed.rounds[1].sites["birch"] = SiteRound(outcome="no answer")
    records = (federation(), missed, federation(status="failed", reason="aborted"))
    outcomes = [summarize_study(record, baselines=None, seconds={}).outcome for record in records]
    assert outcomes == ["success", "partial", "failure"]


def test_rounds_are_compared_over_the_hospitals_with_validation_patients() -> None:
    """A small hospital, and one that only evaluates, are reported on and choose no model."""
    record = federation()
    for scored in (record.initial_scores, *(one.scores for one in record.rounds)):
        del scored["dahlia"], scored["cedar"]
    report = summarize_study(record, baselines=None, seconds={})
    assert report.compared_sites == ["aster", "birch"]
    assert all(one.scores is not None for one in report.rounds)
    assert set(record.final_scores) == set(report.sites)


def test_a_record_from_before_test_sets_is_reported_as_of_validation_patients() -> None:
    record = federation()
    for one in (*record.final_sites.values(), *(part for r in record.rounds for part in r.sites.values())):
        assert one.report is not None
        one.report.test_cases = 0
    report = summarize_study(record, baselines=None, seconds={})
    assert report.evaluated_on == "validation"
    assert report.sites["aster"].scored_cases == 4
    assert report.warnings == []


def test_an_absence_from_the_last_validation_has_its_reason_and_remedy() -> None:
    record = federation()
    record.validation_sites = {
        **record.final_sites,
        "birch": SiteRound(outcome="refused", reason="its disk is full", code="late"),
    }
    del record.final_sites["birch"]
    report = summarize_study(record, baselines=None, seconds={})
    birch = report.sites["birch"]
    assert birch.reason == "its disk is full"
    assert birch.remedy is not None
    assert "this job doesn't ask for it again" in birch.remedy
    (caution,) = report.warnings
    assert caution.startswith(
        "birch is missing from the last validation: its disk is full. What to do: this job"
    )
