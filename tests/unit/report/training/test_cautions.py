import pytest

from consilium.errors import RefusalCode
from consilium.records.federation import FederationRecord, SiteRound
from consilium.records.remedies import remedy_for
from consilium.report.training.cautions import list_cautions
from report.study import FINAL_DICE, VERSIONS, federation, scores, site_round


def test_models_that_test_patients_were_used_for_before_are_counted() -> None:
    record = federation()
    for site, models in {"birch": 1, "cedar": 12}.items():
        report = record.final_sites[site].report
        assert report is not None
        report.earlier_models = models
    birch, cedar = list_cautions(record)
    assert birch.startswith("The test patients of birch were used to evaluate 1 model before this job.")
    assert cedar.startswith("The test patients of cedar were used to evaluate 12 models before this job.")


def test_noise_that_hides_a_hospital_is_named_as_what_it_is() -> None:
    record = federation()
    report = record.final_sites["birch"].report
    assert report is not None
    report.hospital_noise = 2.5
    (caution,) = list_cautions(record)
    assert caution.startswith("Noise hides birch as a whole: 2.5 times the norm")
    assert caution.endswith("this is no protection by patient.")


def test_what_an_algorithm_changes_about_results_is_stated() -> None:
    record = federation()
    record.settings["algorithm"] = {"name": "fedbn"}
    (caution,) = list_cautions(record)
    assert "Each site that trained has normalization parameters of its own" in caution
    record.settings["algorithm"] = {"name": "dp_sgd", "level": "formal"}
    (caution,) = list_cautions(record)
    assert "no score of validation patients did either: rounds have none" in caution
    record.settings["algorithm"] = {"name": "of a later version"}
    assert list_cautions(record) == []


def test_a_run_without_incident_has_no_cautions() -> None:
    assert list_cautions(federation()) == []


def test_a_refusal_is_reported_once_with_its_rounds_and_its_reason() -> None:
    record = federation()
    refusal = SiteRound(outcome="refused", reason="no usable case.", code=RefusalCode.NO_LABELED_CASE)
    record.rounds[1].sites["birch"] = refusal
    record.rounds[3].sites["birch"] = refusal
    record.final_sites["birch"] = refusal
    remedy = remedy_for(RefusalCode.NO_LABELED_CASE)
    assert list_cautions(record) == [
        f"birch is missing from rounds 2, 4 and the final evaluation: no usable case. What to do: {remedy}."
    ]


def test_a_site_that_could_not_even_prepare_is_missing_from_all_of_it() -> None:
    """Of a run that ends before its first round, that is all that the report must say."""
    record = federation(rounds=2)
    refusal = SiteRound(outcome="refused", reason="it is empty", code=RefusalCode.DATASET)
    for sites in (record.preparation, *(one.sites for one in record.rounds), record.final_sites):
        sites["birch"] = refusal
    (caution,) = list_cautions(record)
    assert caution.startswith("birch is missing from the preparation, every round and the final evaluation: ")
    ended = federation(1, status="failed", reason="0 sites can train", final_scores={}, final_sites={})
    ended.rounds.clear()
    ended.preparation["birch"] = refusal
    assert list_cautions(ended)[1].startswith("birch is missing from the preparation: it is empty. What to")


def test_a_site_that_never_answers_is_missing_from_every_round() -> None:
    record = federation(rounds=3)
    for one in record.rounds:
        one.sites["cedar"] = SiteRound(outcome="no answer")
    (caution,) = list_cautions(record)
    assert caution.startswith("cedar is missing from every round: no answer came. What to do: ask ")


def test_a_site_that_the_server_excluded_is_missing_from_the_rounds_since() -> None:
    record = federation()
    for one in record.rounds[3:]:
        one.sites["birch"] = SiteRound(
            outcome="excluded", reason="excluded from training after 3 answers", code=RefusalCode.EXCLUDED
        )
    (caution,) = list_cautions(record)
    assert caution.startswith("birch is missing from rounds 4, 5: excluded from training after 3 answers. ")


def test_a_round_whose_model_was_dropped_is_reported_with_its_reason() -> None:
    record = federation()
    record.rounds[2].rolled_back = "its model scored 0.200 lower than the one before"
    assert list_cautions(record) == ["Round 3 was dropped: its model scored 0.200 lower than the one before."]


def test_a_site_whose_share_was_limited_is_named_with_what_it_claims() -> None:
    record = federation(rounds=2)
    record.settings["aggregation"] = {"rule": "mean", "max_site_share": 0.5}
    record.rounds[0].sites["aster"] = site_round("aster", train_cases=900_000)
    assert list_cautions(record)[0] == (
        "aster reports up to 100% of the training cases in round 1; its share was limited "
        "(aggregation.max_site_share)."
    )


def test_a_rule_that_counts_every_site_once_needs_no_such_caution() -> None:
    record = federation(rounds=2)
    record.settings["aggregation"] = {"rule": "median", "max_site_share": 0.5}
    record.rounds[0].sites["aster"] = site_round("aster", train_cases=900_000)
    assert list_cautions(record) == []


@pytest.mark.parametrize("rule", ["mean", "median"])
@pytest.mark.parametrize(("cases", "reported"), [(10, "10 training cases"), (1, "1 training case")])
def test_a_model_of_one_site_alone_is_said_to_be_one(rule: str, cases: int, reported: str) -> None:
    """With one patient of one hospital, there is no federation to speak of, whatever the rule."""
    record = federation(rounds=2)
    record.settings["aggregation"] = {"rule": rule, "max_site_share": 0.5}
    record.rounds[1].sites["aster"] = site_round("aster", train_cases=cases)
    for site in ("birch", "cedar"):
        record.rounds[1].sites[site] = SiteRound(outcome="no answer", reason="it was late")
    assert (
        "Only aster's update counted in round 2: its share is 100%, and the model learned from its "
        f"{reported} alone."
    ) in list_cautions(record)


def test_in_a_cyclic_job_the_one_update_of_a_round_is_no_fault() -> None:
    record = federation(rounds=2)
    record.settings["algorithm"] = {"name": "cyclic"}
    for one, turn in zip(record.rounds, ("aster", "birch"), strict=True):
        one.turn = turn
        for site, state in one.sites.items():
            one.sites[site] = state if site == turn else site_round("dahlia")
    (caution,) = list_cautions(record)
    assert caution.startswith("The hospitals trained this model one after the other")


def test_a_model_that_learned_nothing_is_said_to_have_and_compared_with_no_other() -> None:
    record = federation(best_round=3)
    for one in record.rounds:
        one.scores = {site: scores(0.0) for site in FINAL_DICE}
    record.final_scores = {site: scores(0.0) for site in FINAL_DICE}
    (caution,) = list_cautions(record)
    assert "has learned next to nothing: its mean Dice is below 0.01 at every hospital" in caution
    record.final_scores["aster"] = scores(0.5)
    assert not any("next to nothing" in one for one in list_cautions(record))


def test_cases_left_out_are_counted() -> None:
    record = federation()
    _replace(record, "cedar", left_out={"truncated": 1, "missing_image": 2})
    assert list_cautions(record) == ["cedar left out 3 of 16 cases; the reasons are listed under “Cases”."]


@pytest.mark.parametrize(
    ("left_out", "reported"),
    [
        ({"truncated": None}, "cedar left out few cases; the reasons are listed under “Cases”."),
        (
            {"truncated": None, "not_3d": 7},
            "cedar left out 7 or more cases; the reasons are listed under “Cases”.",
        ),
    ],
)
def test_cases_left_out_that_are_too_few_to_be_sent_are_not_counted(
    left_out: dict[str, int | None], reported: str
) -> None:
    record = federation()
    _replace(record, "cedar", left_out=left_out)
    assert list_cautions(record) == [reported]


def test_a_hospital_with_one_case_only_evaluates() -> None:
    record = federation()
    _replace(record, "dahlia", test_cases=1)
    (caution,) = list_cautions(record)
    assert caution.startswith("dahlia has one usable labeled case")


def test_a_hospital_that_keeps_its_scores_is_named() -> None:
    record = federation()
    _replace(record, "birch", test_cases=None, left_out={"not_3d": 7})
    assert list_cautions(record) == [
        "birch left out 7 cases; the reasons are listed under “Cases”.",
        "birch holds all scores back: they would be of fewer patients than its min_training_patients. What "
        f"to do: {remedy_for(RefusalCode.SCORES_HELD_BACK)}.",
    ]


def test_a_better_model_than_the_final_one_is_named() -> None:
    record = federation(best_round=3)
    record.rounds[2].scores = {site: scores(0.9) for site in FINAL_DICE}
    assert list_cautions(record) == [
        "The model of round 3 is kept as best_model.safetensors: its Dice is 0.120 higher than the final "
        "model's in the median over 4 sites. This report is about the final model."
    ]


def test_the_best_model_is_compared_with_the_final_one_over_the_sites_that_evaluated_both() -> None:
    """Without the hard hospital round 3 has the higher mean, and no higher score anywhere."""
    record = federation(best_round=3)
    record.rounds[2].scores = {
        site: scores(dice - 0.0004 * (site == "aster"))
        for site, dice in FINAL_DICE.items()
        if site != "dahlia"
    }
    (caution,) = list_cautions(record)
    assert (
        "its Dice is no higher than the final model's in the median over 4 sites, 1 of which did not "
        "evaluate both and counts as unchanged" in caution
    )


def test_a_difference_that_would_round_to_nothing_is_not_shown_as_0() -> None:
    record = federation(best_round=3)
    record.rounds[2].scores = {site: scores(dice + 0.0001) for site, dice in FINAL_DICE.items()}
    (caution,) = list_cautions(record)
    assert "its Dice is less than 0.001 higher than the final model's" in caution


@pytest.mark.parametrize("names", [("aster", "birch"), ()])
def test_models_that_too_few_hospitals_evaluated_are_not_compared(names: tuple[str, ...]) -> None:
    record = federation(best_round=3)
    record.rounds[2].scores = {site: scores(0.9) for site in names}
    (caution,) = list_cautions(record)
    assert "too few hospitals evaluated both this and the final model to compare them" in caution
    assert "0." not in caution


def test_an_excluded_hospital_s_scores_are_not_part_of_a_comparison() -> None:
    record = federation(best_round=3, excluded=["aster", "birch"])
    for one in record.rounds:
        one.scores |= {site: scores(0.9) for site in ("cedar", "dahlia")}
    record.rounds[2].scores |= {site: scores(0.0) for site in ("aster", "birch")}
    (caution,) = list_cautions(record)
    assert "no higher than the final model's in the median over 2 sites." in caution


def test_the_best_model_is_the_final_one_if_the_rounds_after_it_were_dropped() -> None:
    record = federation(best_round=3)
    for dropped in record.rounds[3:]:
        dropped.rolled_back = "its model scored lower"
    assert [caution for caution in list_cautions(record) if "best_model" in caution] == []


def test_versions_that_differ_from_the_server_s_are_named() -> None:
    record = federation()
    _replace(record, "aster", versions=VERSIONS | {"torch": "2.7.1"})
    assert list_cautions(record) == [
        "aster ran other versions than the server: torch 2.7.1 instead of 2.8.0."
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("failed", "The run failed, after 2 of 9 rounds: aborted."),
        ("running", "The run had not ended when this report was made, after 2 of 9 rounds: aborted."),
    ],
)
def test_a_run_that_did_not_finish_says_so_first(status: str, expected: str) -> None:
    record = federation(rounds=2, status=status, reason="aborted", rounds_planned=9, final_scores={})
    record.rounds[0].sites["aster"] = SiteRound(outcome="no answer")
    assert list_cautions(record)[0] == expected


def _replace(record: FederationRecord, site: str, **changes: object) -> None:
    for sites in [*(one.sites for one in record.rounds), record.final_sites]:
        sites[site] = site_round(site, **changes)


def test_a_site_that_was_late_at_the_end_is_not_asked_again() -> None:
    record = federation()
    late = SiteRound(outcome="no answer", reason="it had not answered", code=RefusalCode.LATE)
    record.local_only["birch"] = late
    record.final_sites["birch"] = late
    cautions = [one for one in list_cautions(record) if one.startswith("birch ")]
    assert len(cautions) == 2
    assert all("this job doesn't ask for it again" in one for one in cautions)
