"""Whatever a record says, the sentences agree with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.records.federation import SiteRound
from consilium.records.gain import Gain, SiteGain
from consilium.report.training.answers.answers import ReportAnswers
from consilium.report.training.figure_data import gain_csv, service_csv, trust_csv
from consilium.report.training.service_figure import arrange_service
from consilium.report.training.study import StudyReport
from consilium.report.training.summary import summarize_study
from report.study import CASES, TRAINING, federation, scores, site_gain

_dice = st.floats(0.1, 0.9).map(lambda value: round(value, 3))


@dataclass(frozen=True)
class Drawn:
    """A study, and what each hospital said of its gain."""

    report: StudyReport
    gains: dict[str, SiteGain]
    silent: frozenset[str]


@st.composite
def _studies(draw: Any) -> Drawn:
    """Gains above, below and around zero, without interval or model; hospitals missing, or all but one."""
    final = {site: draw(_dice) for site in CASES}
    gains: dict[str, SiteGain] = {}
    for site in TRAINING:
        kind = draw(st.sampled_from(["interval", "none sent", "no own model"]))
        if kind == "no own model":
            continue
        patients = draw(st.integers(5, 40)) if kind == "interval" else draw(st.integers(1, 8))
        one = site_gain(draw(_dice), final[site], patients)
        if kind == "interval":
            below, above = draw(st.floats(0, 0.2)), draw(st.floats(0, 0.2))
            mean = one.gains["dice"].mean
            one.gains["dice"] = Gain(mean=mean, low=mean - below, high=mean + above)
        gains[site] = one
    silent = frozenset(draw(st.sets(st.sampled_from(sorted(CASES)))))
    record = federation(rounds=2, final_scores={site: scores(value) for site, value in final.items()})
    for site in silent:
        del record.final_scores[site]
        record.final_sites[site] = SiteRound(outcome="no answer", reason="silent")
    if gains or draw(st.booleans()):
        record.local_only = {
            site: SiteRound(
                outcome="evaluated",
                report=record.rounds[0].sites[site].report.model_copy(update={"gain": gain}),  # type: ignore[union-attr]
            )
            for site, gain in gains.items()
        }
    return Drawn(summarize_study(record, baselines=None, seconds={}), gains, silent)


@settings(max_examples=examples(60))
@given(_studies())
def test_nobody_is_said_to_gain_or_lose_without_an_interval_on_that_side(drawn: Drawn) -> None:
    sentence = ReportAnswers.of(drawn.report).gain.sentence
    if ": " not in sentence or not sentence.startswith("In mean Dice"):
        return
    groups = sentence.removeprefix("In mean Dice, against its own model: ").rstrip(".").split("; ")
    for site, one in drawn.gains.items():
        gain = one.gains["dice"]
        (said,) = [group for group in groups if site in group]
        wins = gain.low is not None and gain.low > 0
        loses = gain.high is not None and gain.high < 0
        assert wins == (" gain" in said and "no clear" not in said)
        assert loses == (" lose" in said)
        assert (gain.low is None) == said.startswith("too few patients for a conclusion")
        if not wins and not loses and gain.low is not None:
            assert said.startswith("no clear difference at ")
        for end in (gain.low, gain.high):
            assert end is None or f"{abs(round(end, 3)):.3f}" in said
    for site in set(CASES) - drawn.gains.keys():
        assert [group for group in groups if site in group or "hospitals cannot" in group]


@settings(max_examples=examples(60))
@given(_studies())
def test_who_is_not_helped_is_explained(drawn: Drawn) -> None:
    answer = ReportAnswers.of(drawn.report).gain
    for site, one in drawn.gains.items():
        if not answer.sentence.startswith("In mean Dice"):
            return
        gain = one.gains["dice"]
        helped = gain.low is not None and gain.low > 0
        explained = [fact for fact in answer.facts if f"help {site}" in fact or f"helps {site}" in fact]
        assert bool(explained) != helped


@settings(max_examples=examples(60))
@given(_studies())
def test_the_worst_hospital_has_the_lowest_score_and_is_first_in_the_figure(drawn: Drawn) -> None:
    known = {site: one.global_["dice"] for site, one in drawn.report.sites.items() if one.global_}
    answer, figure = ReportAnswers.of(drawn.report).service, arrange_service(drawn.report)
    for site in drawn.silent:
        assert not known or any(site in fact or "hospitals" in fact for fact in answer.facts)
    if len(known) < 2:
        assert figure is None
        assert "has the worst" not in answer.sentence
        return
    gap = max(known.values()) - min(known.values())
    assert figure is not None
    assert [row.value for row in figure.rows] == sorted(known.values())
    if " alike" in answer.sentence:
        assert gap < 0.005
        assert not figure.rows[0].is_worst
        return
    worst = answer.sentence.split(" has the worst")[0]
    assert known[worst] == min(known.values())
    assert figure.rows[0].site == worst
    assert f"{known[worst]:.3f} on" in answer.sentence
    assert f"{gap:.3f} worse than" in answer.sentence
    assert figure.rows[0].is_worst


@settings(max_examples=examples(60))
@given(_studies())
def test_the_number_of_scored_hospitals_and_cases_is_that_of_the_record(drawn: Drawn) -> None:
    sentence = ReportAnswers.of(drawn.report).trust.sentence
    scored = {site: CASES[site][1] for site in CASES if site not in drawn.silent}
    if not scored:
        assert "no final model was evaluated" in sentence
        return
    of = "4 hospitals" if len(scored) == 4 else f"{len(scored)} of 4 hospitals"
    assert f"scores are of {sum(scored.values())} test cases of {of}" in sentence
    assert ("no score of the final model" in sentence) == bool(drawn.silent)


@settings(max_examples=examples(25))
@given(_studies())
def test_the_data_beside_the_figures_have_every_hospital_and_no_gain_that_is_none(drawn: Drawn) -> None:
    for content in (service_csv(drawn.report), trust_csv(drawn.report)):
        assert {line.split(",")[0] for line in content.splitlines()[1:]} == set(CASES)
    for line in gain_csv(drawn.report).splitlines()[1:]:
        site, _, _, _, standing, _, low, high, *_ = line.split(",")
        if standing in ("gains", "loses"):
            assert float(low) * float(high) > 0
            assert (float(low) > 0) == (standing == "gains")
        else:
            assert not low or float(low) <= 0 <= float(high), site
