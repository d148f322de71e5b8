import pytest

from consilium.records.federation import BaselineRecord, SiteRound
from consilium.records.gain import SiteGain
from consilium.report.training.study import StudyReport
from consilium.report.training.summary import summarize_study
from consilium.report.training.verdict import state_headline, state_verdict
from report.study import CASES, FINAL_DICE, baselines, federation, scores, site_gain

START = "Against each hospital's own model: "
CLINIC = "dahlia cannot be compared."


def compared(**gains: SiteGain | float) -> StudyReport:
    """A study in which hospitals gain so much, with an interval of 0.02 to both sides of 20 patients."""
    made = {
        site: site_gain(FINAL_DICE[site] - gain, FINAL_DICE[site], 20, 0.02)
        if isinstance(gain, float)
        else gain
        for site, gain in gains.items()
    }
    local = {site: {site: one.local} for site, one in made.items()}
    record = BaselineRecord.model_validate(
        baselines().model_dump() | {"gains": made, "patient_gains": {}, "local": local}
    )
    return summarize_study(federation(), baselines=record, seconds={})


@pytest.mark.parametrize(
    ("gains", "headline"),
    [
        ((0.05, 0.04, 0.03), f"{START}all 3 hospitals gain; {CLINIC}"),
        ((0.05, 0.04, -0.03), f"{START}aster and birch gain; cedar loses; {CLINIC}"),
        ((0.05, 0.01, -0.03), f"{START}aster gains; cedar loses; no clear difference at birch; {CLINIC}"),
        (
            (0.05, 0.01, -0.01),
            f"{START}aster gains; none loses; no clear difference at birch and cedar; {CLINIC}",
        ),
        ((-0.05, -0.04, -0.03), f"{START}all 3 hospitals lose; {CLINIC}"),
        (
            (0.01, -0.05, 0.0),
            f"{START}birch loses; none gains; no clear difference at aster and cedar; {CLINIC}",
        ),
        ((0.01, -0.01, 0.0), f"{START}no hospital clearly gains or loses; {CLINIC}"),
    ],
)
def test_the_headline_says_who_gains_and_who_loses(gains: tuple[float, ...], headline: str) -> None:
    assert state_headline(compared(**dict(zip(("aster", "birch", "cedar"), gains, strict=True)))) == headline


def test_a_hospital_without_an_own_model_is_never_a_win() -> None:
    report = compared(aster=0.05, cedar=0.05)
    assert state_headline(report) == f"{START}both hospitals gain; birch and dahlia cannot be compared."
    assert {site: one.gain.standing for site, one in report.sites.items() if one.gain} == {
        "aster": "gains",
        "birch": "not compared",
        "cedar": "gains",
        "dahlia": "not compared",
    }


@pytest.mark.parametrize("patients", [1, 2])
def test_one_or_two_patients_tell_nothing(patients: int) -> None:
    far = site_gain(0.3, FINAL_DICE["birch"], patients)
    report = compared(aster=0.05, birch=far, cedar=0.05)
    assert "aster and cedar gain; none loses; too few patients for a conclusion at birch" in state_headline(
        report
    )
    counted = "1 patient" if patients == 1 else "2 patients"
    assert f"Weak evidence at birch: {counted}, and over fewer than 10 an" in state_headline(report)


def test_an_interval_that_stays_at_its_hospital_decides_nothing() -> None:
    report = compared(aster=0.05, birch=site_gain(0.2, FINAL_DICE["birch"], 4), cedar=0.05)
    gain = report.sites["birch"].gain
    assert gain is not None
    assert (gain.standing, gain.low, gain.high) == ("unclear", None, None)
    assert gain.why == "no interval of so few leaves the hospital"


def test_where_nobody_can_tell_the_headline_says_that() -> None:
    few = {site: site_gain(FINAL_DICE[site] - 0.05, FINAL_DICE[site], 4) for site in ("aster", "birch")}
    assert state_headline(compared(**few)) == (
        f"{START}too few patients for a conclusion (4 patients each); cedar and dahlia cannot be compared."
    )
    mixed = state_headline(compared(**few, cedar=0.0))
    assert (
        f"{START}no hospital clearly gains or loses; too few patients for a conclusion at aster and birch"
        in mixed
    )


def test_three_patients_who_agree_are_called_and_said_to_be_few() -> None:
    """On the page that stays with the patients, their range takes the place of the interval."""
    report = summarize_study(federation(), baselines=baselines(), seconds={})
    assert state_headline(report) == (
        f"{START}all 3 hospitals gain; {CLINIC} Weak evidence: 3 to 4 patients each, and over fewer than 10 "
        "an interval means little."
    )


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
    assert "birch and dahlia cannot be compared" in state_headline(report)


def test_nobody_trained_alone() -> None:
    report = summarize_study(federation(), baselines=None, seconds={})
    assert "cannot say who gains" in state_headline(report)
    assert all(site.gain is None for site in report.sites.values())
    made = baselines().model_copy(update={"local": {}, "gains": {}})
    nobody = summarize_study(federation(), baselines=made, seconds={})
    assert "cannot say who gains" in state_headline(nobody)


def test_many_hospitals_are_counted_and_not_named() -> None:
    record = federation()
    names = [f"site{place}" for place in range(9)]
    for sites in (record.final_sites, record.rounds[-1].sites):
        sites |= dict.fromkeys(names, sites["aster"])
    record.final_scores |= dict.fromkeys(names, scores(0.8))
    made = baselines()
    made.gains = {
        name: site_gain(0.8 - (0.1 if place < 7 else -0.1), 0.8, 20, 0.02) for place, name in enumerate(names)
    }
    headline = state_headline(summarize_study(record, baselines=made, seconds={}))
    assert headline == f"{START}7 of 9 hospitals gain; site7 and site8 lose; 4 hospitals cannot be compared."


def test_the_sentences_have_the_numbers_of_every_comparison() -> None:
    assert state_verdict(compared(aster=0.05, birch=0.04, cedar=-0.03)) == [
        "On 14 patient cases of 4 hospitals that no model was trained on, the federation's model reaches a "
        "mean Dice of 0.780 (tumor core 0.780, whole tumor 0.840, enhancing tumor 0.720).",
        "In the mean over the 3 compared hospitals, its 0.800 is 0.020 above their own models (0.780).",
        "It is 0.010 below one model trained on all data in one place (0.790).",
        "Its lowest mean is at dahlia: 0.720.",
    ]


def test_a_difference_that_rounds_away_is_none() -> None:
    record = federation(final_scores={site: scores(dice + 0.008) for site, dice in FINAL_DICE.items()})
    sentences = state_verdict(summarize_study(record, baselines=baselines(), seconds={}))
    assert any(one.startswith("It is level with one model trained on all data") for one in sentences)


def test_a_run_without_final_scores_has_no_verdict_on_a_model() -> None:
    report = summarize_study(federation(status="failed", final_scores={}), baselines=None, seconds={})
    assert state_headline(report) == "There is no evaluated final model: the run failed."
    assert state_verdict(report) == []
    assert set(CASES) == set(report.sites)


def test_scores_that_every_hospital_holds_back_are_said_with_the_setting() -> None:
    record = federation(final_scores={})
    for sites in [*(one.sites for one in record.rounds), record.final_sites]:
        for one in sites.values():
            if one.report:
                one.report.validation_cases = None
    report = summarize_study(record, baselines=None, seconds={})
    assert "of fewer patients than its min_training_patients allows" in state_headline(report)
