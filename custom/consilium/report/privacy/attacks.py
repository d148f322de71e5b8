"""Measured results of attacks on updates, and those at settings like a job's.

The figures are in `attack_results.json` beside this module, as `benchmarks/leakage.py` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from importlib.resources import files
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from consilium.counts import counted
from consilium.records.bounds import MOST_ENTRIES, Finite, Label, MinimumCount, Record, limit_entries
from consilium.report.privacy.facts import SiteFacts, TrainingFacts

RESULTS_FILE: Final = "attack_results.json"


class AttackResult(Record):
    """One figure of one attack."""

    attack: Label
    patients: MinimumCount = Field(description="In the update.")
    steps: MinimumCount = Field(description="Local steps of the update.")
    sites: MinimumCount = Field(default=1, description="In the sum that the attacker sees; 1: one update.")
    epsilon: Annotated[Finite, Field(gt=0)] | None = Field(
        default=None, description="Of the attacked steps alone; null without noise."
    )
    compressed: bool = False
    measure: Label
    value: Finite
    chance: Finite | None = Field(default=None, description="What guessing reaches, where it is known.")
    worse_is: Literal["higher", "lower"] = Field(description="For the patient.")
    repetitions: MinimumCount = 1


class AttackResults(Record):
    """All figures, and the command that measures them."""

    format: Literal[1] = 1
    command: Annotated[str, Field(max_length=400)]
    results: Annotated[
        tuple[AttackResult, ...], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))
    ] = ()


@cache
def measured_attacks() -> AttackResults:
    """Return the figures that come with this version."""
    text = files("consilium.report.privacy").joinpath(RESULTS_FILE).read_text(encoding="utf-8")
    return AttackResults.model_validate_json(text)


def attacks_like(kind: TrainingFacts, site: SiteFacts, measured: AttackResults) -> tuple[AttackResult, ...]:
    """Return, for each attack and measure, the figure of the nearest settings that are no safer than a job's.

    A figure is of at most as many patients and steps, at least as large an epsilon and at most as many sites
    in a sum. Where none is, the safest of those with the same kind of protection is the nearest.

    Args:
        kind: What the job asks.
        site: What the hospital decides: its minimum is the fewest patients of an update.
        measured: The figures.
    """
    found: dict[tuple[str, str], AttackResult] = {}
    for one in measured.results:
        if one.compressed or (one.epsilon is None) != (kind.promise.epsilon is None):
            continue
        key = (one.attack, one.measure)
        if key not in found or _rank(one, kind, site) > _rank(found[key], kind, site):
            found[key] = one
    return tuple(found.values())


def describe_attacks(kind: TrainingFacts, site: SiteFacts, measured: AttackResults) -> Iterator[str]:
    """Yield the figures at settings like a job's, a sentence each.

    Args:
        kind: What the job asks.
        site: What the hospital decides.
        measured: The figures.
    """
    if not measured.results:
        yield "None were measured with this version."
        return
    steps = "any number of steps" if kind.local_steps is None else counted(kind.local_steps, "step")
    yield (
        f"An update of this job is of at least {counted(site.min_update_patients, 'patient')} and {steps}. "
        "Each figure is of the nearest settings that were measured, and that are no safer where there are "
        "some."
    )
    nearest = attacks_like(kind, site, measured)
    if not nearest:
        yield "None was measured with this kind of protection."
    for one in nearest:
        chance = "" if one.chance is None else f"; guessing reaches {one.chance:.2g}"
        noise = "no noise" if one.epsilon is None else f"epsilon {one.epsilon:g} for these steps alone"
        seen = "" if one.sites == 1 else f", in a sum of {counted(one.sites, 'site')}"
        yield (
            f"{one.attack[:1].upper()}{one.attack[1:]}, {counted(one.patients, 'patient')}, "
            f"{counted(one.steps, 'step')}, {noise}{seen}: {one.measure} {one.value:.2g} ({one.worse_is} is "
            f"worse for the patient{chance}; {counted(one.repetitions, 'repetition')})."
        )
    yield (
        f"Measured by “{measured.command}” on synthetic patients. An attack that found nothing shows that "
        "this attack failed, not that every attack does; other data, networks and attacks give other figures."
    )


def _rank(one: AttackResult, kind: TrainingFacts, site: SiteFacts) -> tuple[bool, float, int, int, int]:
    """How well a figure fits: no safer than the job first, then as near as there is."""
    steps = kind.local_steps or 1
    sites = kind.min_sites if kind.promise.secure_aggregation else 1
    no_safer = (
        one.patients <= site.min_update_patients
        and one.steps <= steps
        and one.sites <= sites
        and (one.epsilon or 0.0) >= (kind.promise.epsilon or 0.0)
    )
    if no_safer:
        return True, -(one.epsilon or 0.0), one.sites, one.patients, one.steps
    return False, one.epsilon or 0.0, -one.sites, -one.patients, -one.steps
