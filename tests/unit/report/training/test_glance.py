from consilium.records.federation import FederationRecord, SiteRound
from consilium.report.training.glance import list_basics
from consilium.report.training.summary import summarize_study
from report.study import baselines, federation, scores, site_report


def basics(record: FederationRecord, *, compare: bool = False) -> dict[str, str]:
    made = baselines() if compare else None
    return dict(list_basics(summarize_study(record, baselines=made, seconds={})))


def test_models_and_patients_are_named_with_their_numbers() -> None:
    assert basics(federation(), compare=True) == {
        "Models": "Federated: the model after round 5 of 5, trained at aster, birch and cedar. Own: trained "
        "at one hospital alone with as many steps. Pooled: trained on all cases in one place.",
        "Patients": "Scores are of 14 validation cases that no model was trained on (aster 4, birch 3, cedar "
        "3, dahlia 4). Training was on 26 others.",
        "Left out": "No case.",
        "Who took part": "Every hospital, to the end.",
    }


def test_what_was_left_out_and_who_was_missing_is_said() -> None:
    record = federation()
    left_out = {"truncated": 3, "not_3d": None}
    record.final_sites["cedar"] = SiteRound(
        outcome="evaluated", report=site_report("cedar", left_out=left_out)
    )
    record.final_sites["birch"] = SiteRound(outcome="no answer", reason="silent")
    del record.final_scores["birch"]
    found = basics(record)
    assert found["Left out"] == "cedar 3 or more; the reasons are listed under “Cases”."
    assert found["Who took part"].startswith("Not all of them: birch had no part in the last task")
    assert "(aster 4, cedar 3, dahlia 4)" in found["Patients"]


def test_many_hospitals_are_counted() -> None:
    record = federation()
    for place in range(9):
        for sites in (record.final_sites, record.rounds[-1].sites):
            sites[f"site{place}"] = record.rounds[-1].sites["aster"]
        record.final_scores[f"site{place}"] = scores(0.8)
    found = basics(record)
    assert "trained at 12 hospitals." in found["Models"]
    assert "(of 13 hospitals)" in found["Patients"]


def test_a_run_without_a_model_says_so() -> None:
    record = federation(status="failed", final_scores={}, final_sites={})
    assert basics(record)["Patients"] == "No model was evaluated."
