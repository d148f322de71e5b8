import pytest

from consilium.report.cautions import list_cautions
from consilium.report.records import FederationRecord, SiteRound

from .study import FINAL_DICE, VERSIONS, federation, scores, site_round


def test_a_run_without_incident_has_no_cautions() -> None:
    assert list_cautions(federation()) == []


def test_a_refusal_is_told_once_with_its_rounds_and_its_reason() -> None:
    record = federation()
    refusal = SiteRound(outcome="refused", reason="no usable labelled case.")
    record.rounds[1].sites["birch"] = refusal
    record.rounds[3].sites["birch"] = refusal
    record.final_sites["birch"] = refusal
    expected = "birch is missing from rounds 2, 4 and the final validation: no usable labelled case."
    assert list_cautions(record) == [expected]


def test_a_site_that_never_answers_is_missing_from_every_round() -> None:
    record = federation(rounds=3)
    for one in record.rounds:
        one.sites["cedar"] = SiteRound(outcome="no answer")
    assert list_cautions(record) == ["cedar is missing from every round: no answer came."]


def test_a_site_that_the_server_excluded_is_missing_from_the_rounds_since() -> None:
    record = federation()
    for one in record.rounds[3:]:
        one.sites["birch"] = SiteRound(outcome="excluded", reason="excluded from training after 3 answers")
    assert list_cautions(record) == [
        "birch is missing from rounds 4, 5: excluded from training after 3 answers."
    ]


def test_a_round_whose_model_was_dropped_is_told_with_its_reason() -> None:
    record = federation()
    record.rounds[2].rolled_back = "its model scored 0.200 lower than the one before"
    assert list_cautions(record) == ["Round 3 was dropped: its model scored 0.200 lower than the one before."]


def test_cases_left_out_are_counted() -> None:
    record = federation()
    _replace(record, "cedar", left_out={"truncated": 1, "missing_modality": 2})
    assert list_cautions(record) == ["cedar left out 3 of 13 cases; the reasons are listed under “Cases”."]


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ({"truncated": None}, "cedar left out few cases; the reasons are listed under “Cases”."),
        (
            {"truncated": None, "not_3d": 7},
            "cedar left out 7 or more cases; the reasons are listed under “Cases”.",
        ),
    ],
)
def test_cases_left_out_that_are_too_few_to_be_told_are_not_counted(
    left_out: dict[str, int | None], told: str
) -> None:
    record = federation()
    _replace(record, "cedar", left_out=left_out)
    assert list_cautions(record) == [told]


def test_a_hospital_with_one_case_only_evaluates() -> None:
    record = federation()
    _replace(record, "dahlia", validation_cases=1)
    (caution,) = list_cautions(record)
    assert caution.startswith("dahlia has one usable labeled case")


def test_a_hospital_that_keeps_its_scores_is_named() -> None:
    record = federation()
    _replace(record, "birch", validation_cases=None, left_out={"not_3d": 7})
    assert list_cautions(record) == [
        "birch left out 7 cases; the reasons are listed under “Cases”.",
        "birch sends no scores: they would be of fewer patients than it allows.",
    ]


def test_a_better_model_than_the_final_one_is_named() -> None:
    record = federation(best_round=3)
    record.rounds[2].scores = {site: scores(0.9) for site in FINAL_DICE}
    (caution,) = list_cautions(record)
    assert "after round 3 the mean Dice was 0.900, at the end it is 0.780" in caution
    assert "best_model.safetensors" in caution


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
