import pytest

from consilium.records.federation import SiteRound
from consilium.report.training.answers.gain import answer_gain
from consilium.report.training.summary import summarize_study
from report.study import FINAL_DICE, baselines, federation, scores, site_gain
from report.training.answers.studies import compared

START = "In mean Dice, against its own model: "
CLINIC = "dahlia cannot be compared."
MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        (
            (0.05, 0.04, 0.03),
            "all 3 hospitals gain: aster 0.050 (0.030 to 0.070), birch 0.040 (0.020 to 0.060) and cedar "
            "0.030 (0.010 to 0.050)",
        ),
        (
            (0.05, 0.04, -0.03),
            "aster gains 0.050 (0.030 to 0.070) and birch 0.040 (0.020 to 0.060); cedar loses 0.030 (0.010 "
            "to 0.050)",
        ),
        (
            (0.05, 0.01, -0.03),
            "aster gains 0.050 (0.030 to 0.070); cedar loses 0.030 (0.010 to 0.050); no clear difference at "
            f"birch ({MINUS}0.010 to +0.030)",
        ),
        (
            (0.05, 0.01, -0.01),
            "aster gains 0.050 (0.030 to 0.070); none loses; no clear difference at birch "
            f"({MINUS}0.010 to +0.030) and cedar ({MINUS}0.030 to +0.010)",
        ),
        (
            (0.01, -0.05, 0.0),
            "birch loses 0.050 (0.030 to 0.070); none gains; no clear difference at aster "
            f"({MINUS}0.010 to +0.030) and cedar ({MINUS}0.020 to +0.020)",
        ),
    ],
)
def test_the_sentence_says_who_gains_and_who_loses_and_by_how_much(
    gains: tuple[float, ...], sentence: str
) -> None:
    answer = answer_gain(compared(**dict(zip(("aster", "birch", "cedar"), gains, strict=True))))
    assert answer.sentence == f"{START}{sentence}; {CLINIC}"


def test_a_hospital_that_loses_is_named_with_what_is_known_of_the_reasons() -> None:
    facts = answer_gain(compared(aster=0.05, birch=0.01, cedar=-0.03)).facts
    assert facts[0].startswith("The federation does not help cedar: ")
    assert facts[1].startswith("The federation does not clearly help birch: ")
    assert not [fact for fact in facts if "help aster" in fact]
    assert not answer_gain(compared(aster=0.05, birch=0.05, cedar=0.05)).facts


def test_a_hospital_without_an_own_model_is_never_a_win() -> None:
    report = compared(aster=0.05, cedar=0.05)
    sentence = answer_gain(report).sentence
    assert sentence.startswith(f"{START}both hospitals gain: aster ")
    assert sentence.endswith("; birch and dahlia cannot be compared.")
    assert {site: one.gain.standing for site, one in report.sites.items() if one.gain} == {
        "aster": "gains",
        "birch": "not compared",
        "cedar": "gains",
        "dahlia": "not compared",
    }


@pytest.mark.parametrize("patients", [1, 2, 3, 4])
def test_patients_too_few_for_an_interval_decide_nothing(patients: int) -> None:
    """Also on the page that stays with the patients, where all of them agree."""
    far = site_gain(0.3, FINAL_DICE["birch"], patients)
    answer = answer_gain(compared(aster=0.05, birch=far, cedar=0.05))
    counted = "1 patient" if patients == 1 else f"{patients} patients"
    assert f"none loses; too few patients for a conclusion at birch (+0.500, {counted})" in answer.sentence
    assert any(
        fact.startswith(
            "Whether the federation helps birch is unknown: an interval takes at least 5 patients"
        )
        for fact in answer.facts
    )
    report = summarize_study(federation(), baselines=baselines(), seconds={})
    assert {one.gain.standing for one in report.sites.values() if one.gain} == {"unclear", "not compared"}


def test_an_interval_that_stays_at_its_hospital_decides_nothing() -> None:
    report = compared(aster=0.05, birch=site_gain(0.2, FINAL_DICE["birch"], 8), cedar=0.05)
    gain = report.sites["birch"].gain
    assert gain is not None
    assert (gain.standing, gain.low, gain.high) == ("unclear", None, None)
    assert gain.why == "no interval of so few leaves the hospital"


def test_where_nobody_can_conclude_the_sentence_says_that() -> None:
    few = {site: site_gain(FINAL_DICE[site] - 0.05, FINAL_DICE[site], 4) for site in ("aster", "birch")}
    assert answer_gain(compared(**few)).sentence == (
        f"{START}too few patients for a conclusion at aster (+0.050, 4 patients) and birch (+0.050, 4 "
        "patients); cedar and dahlia cannot be compared."
    )
    mixed = answer_gain(compared(**few, cedar=0.0)).sentence
    assert mixed.startswith(f"{START}no hospital clearly gains or loses; no clear difference at cedar")
    assert "too few patients for a conclusion at aster" in mixed


def test_intervals_over_few_patients_are_weak_evidence() -> None:
    seven = site_gain(FINAL_DICE["birch"] - 0.05, FINAL_DICE["birch"], 7, 0.02)
    weak = [one for one in answer_gain(compared(aster=0.05, birch=seven)).facts if one.startswith("Weak")]
    assert weak == ["Weak evidence at birch: 7 patients, and over fewer than 10 an interval means little."]


def test_a_hospital_that_sends_no_score_is_no_win() -> None:
    record = federation()
    del record.final_scores["birch"]
    record.final_sites["birch"] = SiteRound(outcome="refused", reason="gone")
    made = baselines()
    del made.gains["birch"]
    report = summarize_study(record, baselines=made, seconds={})
    gain = report.sites["birch"].gain
    assert gain is not None
    assert gain.standing == "not compared"
    assert "birch and dahlia cannot be compared" in answer_gain(report).sentence


def test_nobody_trained_alone() -> None:
    report = summarize_study(federation(), baselines=None, seconds={})
    assert "cannot say who gains" in answer_gain(report).sentence
    assert all(site.gain is None for site in report.sites.values())
    made = baselines().model_copy(update={"local": {}, "gains": {}})
    nobody = summarize_study(federation(), baselines=made, seconds={})
    assert "cannot say who gains" in answer_gain(nobody).sentence


def test_many_hospitals_are_counted_and_not_named() -> None:
    record = federation()
    names = [f"site{place}" for place in range(9)]
    for sites in (record.final_sites, record.rounds[-1].sites):
        sites |= dict.fromkeys(names, sites["aster"])
    record.final_scores |= dict.fromkeys(names, scores(0.8))
    made = baselines()
    made.gains = {
        name: site_gain(0.8 - (0.1 + place / 100 if place < 7 else -0.1), 0.8, 20, 0.02)
        for place, name in enumerate(names)
    }
    sentence = answer_gain(summarize_study(record, baselines=made, seconds={})).sentence
    assert sentence == (
        f"{START}7 of 9 hospitals gain 0.100 to 0.160; site7 loses 0.100 (0.080 to 0.120) and site8 0.100 "
        "(0.080 to 0.120); 4 hospitals cannot be compared."
    )


def test_a_run_without_a_final_model_says_so() -> None:
    report = summarize_study(federation(status="failed", final_scores={}), baselines=None, seconds={})
    assert answer_gain(report).sentence == "There is no evaluated final model: the run failed."


def test_scores_that_every_hospital_holds_back_are_said_with_the_setting() -> None:
    record = federation(final_scores={})
    for sites in [*(one.sites for one in record.rounds), record.final_sites]:
        for one in sites.values():
            if one.report:
                one.report.test_cases = None
    report = summarize_study(record, baselines=None, seconds={})
    assert "of fewer patients than its min_training_patients allows" in answer_gain(report).sentence
