import pytest

from consilium.records.federation import FederationRecord, SiteRound
from consilium.report.training.answers.answer import Answer
from consilium.report.training.answers.service import answer_service
from consilium.report.training.summary import summarize_study
from report.study import CASES, federation, scores


def answered(record: FederationRecord) -> Answer:
    return answer_service(summarize_study(record, baselines=None, seconds={}))


def test_the_worst_hospital_its_gap_and_its_weakest_target_are_named() -> None:
    answer = answered(federation())
    assert answer.sentence == (
        "dahlia has the worst mean Dice: 0.720 on 4 test cases, 0.120 worse than aster, the best "
        "(0.840); weakest there is enhancing tumor (0.660)."
    )
    assert "dahlia only evaluates: the model did not train on its patients." in answer.facts
    assert "With so few cases (4 and 4), which hospital is worst can be chance." in answer.facts
    assert "harder patients" in answer.hint


def test_differences_that_round_away_are_none() -> None:
    final = {site: scores(0.8 + place / 1000) for place, site in enumerate(CASES)}
    assert answered(federation(final_scores=final)).sentence == (
        "It serves all 4 evaluated hospitals alike: mean Dice 0.800 to 0.803."
    )


def test_a_single_hospital_is_not_compared_with_itself() -> None:
    answer = answered(federation(final_scores={"birch": scores(0.8)}))
    assert answer.sentence == (
        "It was evaluated at one hospital only: birch, with a mean Dice of 0.800 on 3 test cases."
    )


@pytest.mark.parametrize("missing", [["birch"], ["birch", "cedar"]])
def test_hospitals_without_a_score_may_be_worse(missing: list[str]) -> None:
    record = federation()
    for site in missing:
        del record.final_scores[site]
        record.final_sites[site] = SiteRound(outcome="no answer", reason="silent")
    names, verb = (" and ".join(missing), "send" if len(missing) > 1 else "sends")
    assert f"Not known of {names}, which {verb} no score: it can be worse there." in answered(record).facts


def test_without_any_score_it_is_unknown() -> None:
    assert answered(federation(status="failed", final_scores={})).sentence == (
        "No hospital sends a score of the final model, so it is unknown."
    )
