"""Answer to the third question: what the numbers are of, and what is missing in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from consilium.counts import Count, agree, counted, total_text
from consilium.report.training.answers.answer import Answer, join, list_sites
from consilium.report.training.gains import FEW_PATIENTS, sites_that
from consilium.report.training.participation import list_participation
from consilium.report.training.study import StudyReport

QUESTION: Final = "Can I trust this table?"

_MOST_NAMES: Final = 6


def answer_trust(report: StudyReport) -> Answer:
    """Return the patients that scores are of, and what was left out, rejected, missed or withheld."""
    flaws = list(_flaws(report))
    scope = _scope(report)
    if flaws:
        sentence = f"Read it with care: {scope}; {'; '.join(flaws)}."
    else:
        sentence = (
            f"Nothing is missing: {scope}; no case was left out, no update rejected, and every hospital took "
            "part in every round."
        )
    hint = _HINTS[report.evaluated_on] if any(one.global_ for one in report.sites.values()) else ""
    return Answer(QUESTION, sentence, tuple(_facts(report)), hint)


_HINTS: Final = {
    "validation": (
        "Validation patients are set aside by each hospital and never trained on, but they choose the best "
        "round. They are of the same hospitals: this is no external validation."
    ),
    "test": (
        "Test patients are set aside by each hospital: never trained on, and never used to choose a model. "
        "They are of the same hospitals: this is no external validation."
    ),
}


def _scope(report: StudyReport) -> str:
    evaluated = {site: one.scored_cases for site, one in report.sites.items() if one.global_}
    if not evaluated:
        return "no final model was evaluated"
    counts: Mapping[str, Count] = evaluated
    total = total_text(counts)
    noun = f"{report.evaluated_on} case"
    cases = counted(int(total), noun) if total.isdigit() else f"{total} {noun}s"
    every = len(report.sites)
    where = (
        f"{counted(every, 'hospital')}"
        if len(evaluated) == every
        else f"{len(evaluated)} of {counted(every, 'hospital')}"
    )
    return f"scores are of {cases} of {where}, on which no model was trained"


def _flaws(report: StudyReport) -> Iterator[str]:
    done, planned = len(report.rounds), counted(report.rounds_planned, "round")
    if report.status != "finished":
        state = "failed" if report.status == "failed" else "had not ended"
        yield f"the run {state} after {done} of {planned}"
    left_out = {site: one.left_out for site, one in report.sites.items() if one.left_out}
    if left_out:
        of_all: list[Count] = [count for counts in left_out.values() for count in counts.values()]
        total = total_text(dict(zip(map(str, range(len(of_all))), of_all, strict=True)))
        where = [f"{site} {total_text(counts)}" for site, counts in left_out.items()]
        cases = counted(int(total), "case") if total.isdigit() else f"{total} cases"
        verb = "was" if total == "1" else "were"
        yield f"{cases} {verb} left out ({_some(where)})"
    parts = list_participation(report)
    rejected = {one.site: one.rejected for one in parts if one.rejected}
    if rejected:
        total_rejected = sum(rejected.values())
        yield (
            f"{counted(total_rejected, 'update')} {agree(total_rejected, 'was', 'were')} rejected "
            f"({_some([f'{site} {count}' for site, count in rejected.items()])})"
        )
    missed = {one.site: one.missed for one in parts if one.missed}
    if missed:
        of_each = _some([f"{site} missed {count}" for site, count in missed.items()])
        yield f"of {counted(done, 'round')}, {of_each}"
    yield from _about_scores(report)
    dropped = [str(one.number) for one in report.rounds if one.rolled_back]
    if dropped:
        verb = agree(len(dropped), "was", "were")
        yield f"{counted(len(dropped), 'round')} {verb} dropped ({join(dropped)})"


def _about_scores(report: StudyReport) -> Iterator[str]:
    withheld = withheld_sites(report)
    if withheld:
        verb = agree(len(withheld), "withholds", "withhold")
        yield f"{list_sites(withheld)} {verb} scores, of too few patients"
    silent = [site for site, one in report.sites.items() if not one.global_ and site not in withheld]
    if silent and any(one.global_ for one in report.sites.values()):
        yield f"{list_sites(silent)} {agree(len(silent), 'has', 'have')} no score of the final model"
    few = [
        site
        for site, one in report.sites.items()
        if one.global_ and one.scored_cases is not None and one.scored_cases < FEW_PATIENTS
    ]
    if few:
        where = "every hospital" if len(few) == len(report.sites) > 1 else list_sites(few)
        yield f"fewer than {FEW_PATIENTS} cases at {where}"


def withheld_sites(report: StudyReport) -> list[str]:
    """Return the hospitals that took part and keep their scores, which are of too few patients."""
    return [site for site, one in report.sites.items() if one.role is not None and one.scored_cases is None]


def _some(parts: Sequence[str]) -> str:
    more = len(parts) - _MOST_NAMES
    return ", ".join(parts) if more <= 0 else f"{', '.join(parts[:_MOST_NAMES])} and {more} more"


def _facts(report: StudyReport) -> Iterator[str]:
    trained = [site for site, one in report.sites.items() if one.rounds_trained]
    counts = [report.sites[site].train_cases for site in trained]
    known = [count for count in counts if count is not None]
    cases = counted(sum(known), "case") if len(known) == len(counts) else "cases whose number is withheld"
    if not trained:
        yield "No model was trained."
        return
    yield (
        f"The federation's model is that after round {len(report.rounds)} of {report.rounds_planned}, "
        f"trained at {list_sites(trained)} on {cases}."
    )
    outside = [site for site, one in report.sites.items() if one.role == "evaluates" and one.global_]
    if outside:
        who = agree(len(outside), "it", "they")
        yield f"No patient of {list_sites(outside)} was trained on: {who} only evaluated."
    compared = [*sites_that(report, "gains"), *sites_that(report, "unclear"), *sites_that(report, "loses")]
    if compared and len(compared) < len(trained):
        yield f"Models of their own exist at {list_sites(sorted(compared))} only."
