from consilium.errors import RefusalCode
from consilium.records.federation import FederationRecord, SiteRound
from consilium.report.training.answers.answer import Answer
from consilium.report.training.answers.trust import answer_trust
from consilium.report.training.summary import summarize_study
from report.study import federation, scores, site_report

CARE = "Read it with care: "


def answered(record: FederationRecord) -> Answer:
    return answer_trust(summarize_study(record, baselines=None, seconds={}))


def many_patients() -> FederationRecord:
    """The usual run, with enough patients everywhere."""
    record = federation()
    for sites in [*(one.sites for one in record.rounds), record.final_sites]:
        for one in sites.values():
            if one.report:
                one.report.test_cases = 20
    return record


def test_a_complete_table_says_whose_patients_its_numbers_are_of() -> None:
    answer = answered(many_patients())
    assert answer.sentence == (
        "Nothing is missing: scores are of 80 test cases of 4 hospitals, on which no model was "
        "trained; no case was left out, no update rejected, and every hospital took part in every round."
    )
    assert answer.facts == (
        "The federation's model is that after round 5 of 5, trained at aster, birch and cedar on 26 cases.",
        "No patient of dahlia was trained on: it only evaluated.",
    )
    assert "no external validation" in answer.hint


def test_few_cases_are_a_reason_for_care() -> None:
    assert answered(federation()).sentence == (
        f"{CARE}scores are of 14 test cases of 4 hospitals, on which no model was trained; fewer than "
        "10 cases at every hospital."
    )


def test_the_set_has_its_name_from_the_study() -> None:
    report = summarize_study(many_patients(), baselines=None, seconds={})
    report.evaluated_on = "test"
    report.sites["aster"].scored_cases = 30
    answer = answer_trust(report)
    assert "scores are of 90 test cases" in answer.sentence
    assert "never used to choose a model" in answer.hint
    assert "validation cases" not in answer.sentence


def test_what_was_left_out_rejected_missed_and_withheld_is_said() -> None:
    record = many_patients()
    for site, left_out in (("cedar", {"truncated": 3, "not_3d": None}), ("aster", {"truncated": 1})):
        record.final_sites[site] = SiteRound(
            outcome="evaluated", report=site_report(site, left_out=left_out, test_cases=20)
        )
    record.rounds[0].sites["birch"] = SiteRound(outcome="refused", reason="odd", code=RefusalCode.UPDATE)
    record.rounds[1].sites["cedar"] = SiteRound(outcome="no answer", reason="late", code=RefusalCode.LATE)
    del record.rounds[2].sites["cedar"]
    record.rounds[3].rolled_back = "worse"
    for sites in [*(one.sites for one in record.rounds), record.final_sites]:
        if (report := sites["dahlia"].report) is not None:
            report.test_cases = None
    del record.final_scores["dahlia"]
    sentence = answered(record).sentence
    assert sentence.startswith(f"{CARE}scores are of 60 test cases of 3 of 4 hospitals")
    for flaw in (
        "4 or more cases were left out (aster 1, cedar 3 or more)",
        "1 update was rejected (birch 1)",
        "of 5 rounds, cedar missed 2",
        "dahlia withholds scores, of too few patients",
        "1 round was dropped (4)",
    ):
        assert f"; {flaw}" in sentence


def test_a_hospital_without_a_score_is_named() -> None:
    record = many_patients()
    record.final_sites["birch"] = SiteRound(outcome="no answer", reason="silent")
    del record.final_scores["birch"]
    sentence = answered(record).sentence
    assert "60 test cases of 3 of 4 hospitals" in sentence
    assert "birch has no score of the final model" in sentence


def test_many_hospitals_are_counted() -> None:
    record = many_patients()
    for place in range(9):
        for sites in (record.final_sites, *(one.sites for one in record.rounds)):
            sites[f"site{place}"] = record.rounds[-1].sites["aster"]
        record.final_scores[f"site{place}"] = scores(0.8)
    answer = answered(record)
    assert "of 13 hospitals" in answer.sentence
    assert any("trained at 12 hospitals on " in fact for fact in answer.facts)


def test_a_run_without_a_model_says_so() -> None:
    sentence = answered(federation(status="failed", final_scores={}, final_sites={})).sentence
    assert sentence.startswith(f"{CARE}no final model was evaluated; the run failed after 5 of 5 rounds")


def test_a_run_without_any_round_has_no_model_and_nothing_to_read_its_patients_by() -> None:
    record = federation(1, status="failed", final_scores={}, final_sites={}, best_round=None)
    record.rounds.clear()
    record.preparation["aster"] = SiteRound(outcome="refused", reason="few")
    answer = answered(record)
    assert "the run failed after 0 of 1 round" in answer.sentence
    assert (answer.facts, answer.hint) == (("No model was trained.",), "")
