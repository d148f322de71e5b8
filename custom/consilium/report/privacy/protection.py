"""What noise and masks protect in a job, in words: differential privacy and secure aggregation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from consilium.counts import counted
from consilium.learning.algorithms import recorded_algorithm
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.privacy.promise import PrivacyLevel
from consilium.report.privacy.facts import JobFacts, SiteFacts, TrainingFacts

_LARGEST_EXPONENT: Final = 20.0
"""Above it, a factor is only said to be large."""


def describe_guarantee(job: JobFacts) -> Iterator[str]:
    """Yield what epsilon and delta are, a sentence or two each; plainly where there is none.

    Args:
        job: The job.
    """
    kind = job.of_kind
    if isinstance(kind, TrainingFacts) and kind.promise.epsilon is not None:
        yield from _guarantee(kind, kind.promise.epsilon)
    else:
        yield (
            "No differential privacy by patient: this job adds no noise that hides a patient, so a "
            "patient has no epsilon and no delta, and no guarantee that holds against every attack."
        )
    yield (
        "Minimums and fixed groups of patients are suppression: they prevent that answers are subtracted or "
        "a "
        "question is repeated."
    )
    if isinstance(kind, TrainingFacts):
        yield "Groups don't apply to updates and losses: every job trains on all training patients."


def _guarantee(kind: TrainingFacts, epsilon: float) -> Iterator[str]:
    delta = (
        "a tenth of one divided by the hospital's number of training patients"
        if kind.promise.delta is None
        else f"{kind.promise.delta:g}, or a tenth of one divided by the training patients if that is less"
    )
    yield f"Epsilon is at most {epsilon:g} for the whole job, all rounds together; delta is {delta}."
    yield (
        "A round that is repeated, after a crash or because the server asks again, spends again. The "
        f"hospital's ledger stops the job at an epsilon of {kind.promise.level.most:g}, the limit of its "
        "level, at the latest; earlier where the hospital limits a job or all jobs (job_epsilon, epsilon)."
    )
    yield (
        "For any patient, whatever else an attacker knows: whether the patient's data were used changes the "
        f"probability of anything that the updates show at most by a factor of {_factor(epsilon)}, but for "
        "delta."
    )
    if kind.plan is not None:
        yield (
            f"With {counted(kind.plan.patients, 'training patient')}: each of "
            f"{counted(kind.plan.steps, 'step')} draws each patient with a "
            f"probability of {kind.plan.sampling_rate:.3g}, and adds Gaussian noise of "
            f"{kind.plan.noise_multiplier:.3g} times the norm that a patient's gradient is scaled down to; "
            f"delta is {kind.plan.delta:.2g}."
        )
    if kind.promise.level is PrivacyLevel.FORMAL:
        yield (
            "Level “formal”: an epsilon of at most 10, which Ponomareva et al. (doi 10.1613/jair.1.14649) "
            "call reasonable; the smaller, the better."
        )
    else:
        yield (
            f"Level “{kind.promise.level.value}”: the factor is too large to hide whether a patient was in "
            "the data. The noise is a defense against the reconstruction of images only, as far as known "
            "attacks show."
        )
    yield (
        "It covers the updates and all that is computed from them: the model, and scores of patients who "
        "were not trained on. Scores, counts and numbers in the table without noise are not covered."
    )


def state_protection(settings: Mapping[str, Any]) -> str:
    """Return in a sentence how the updates of a training were protected, by the settings in its record.

    Where they had noise, it has the level, epsilon and delta that the job promised.

    Example:
        >>> state_protection({"algorithm": {"name": "fedavg"}})
        "Updates had no noise, and the server saw each hospital's."

    Args:
        settings: The record's, which another machine wrote.

    Returns:
        The sentence; empty for a record from before algorithms had names.
    """
    values = settings.get("algorithm")
    if not isinstance(values, Mapping):
        return ""
    algorithm = recorded_algorithm(values)
    if algorithm is None:
        return "How updates were protected isn't known: their algorithm is not of this version."
    bits = getattr(algorithm, "ring_bits", None)
    width = "" if bits is None else f", masked with {bits} bits a value"
    promise = algorithm.promise()
    seen = f"only sums of several hospitals'{width}" if promise.secure_aggregation else "each hospital's"
    if promise.sealed:
        seen = "none: they were encrypted for the hospital that combined them, which saw each hospital's"
    return f"Updates had {_state_noise(algorithm)}, and the server saw {seen}."


def _state_noise(algorithm: AlgorithmSettings) -> str:
    """`noise`, with all that was promised; the level is that which the job names, if it names one."""
    promise = algorithm.promise()
    if promise.epsilon is None:
        of_sum = getattr(algorithm, "hospital_noise", None)
        if of_sum is None:
            return "no noise"
        return (
            f"noise in their sum that hides a hospital, not by patient ({of_sum:g} times their largest norm)"
        )
    level = getattr(algorithm, "level", promise.level.value)
    most = "1 / (10 N) at a hospital with N training patients"
    delta = most if promise.delta is None else f"{promise.delta:g}, or {most} if that is less"
    return (
        f"noise (differential privacy by patient, level {level}: for the whole job, epsilon is at most "
        f"{promise.epsilon:g}, and delta {delta})"
    )


def _factor(epsilon: float) -> str:
    """The largest change of a probability; in digits that a person can read."""
    if epsilon >= _LARGEST_EXPONENT:
        return "more than a billion"
    factor = math.exp(epsilon)
    return f"{factor:.2f}" if factor < 10 else f"{factor:,.0f}"


def describe_aggregation(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    """Yield what secure aggregation adds to a job, and what it doesn't.

    Args:
        job: The job.
        site: What the hospital decides.
    """
    kind = job.of_kind
    if not isinstance(kind, TrainingFacts):
        yield "None: this job has no updates, and the server sees each hospital's answer."
        return
    if kind.promise.sealed:
        yield (
            "None, but the server can't read updates: each is encrypted for the hospital whose turn it is, "
            "which sees every single one of them, and returns their combination."
        )
        yield (
            "It depends on the hospitals' identities: each compares the others' fingerprints outside the "
            "server (“consilium identity”). The hospital whose turn it is decides what the model becomes."
        )
        return
    if not kind.promise.secure_aggregation:
        yield "None: the server sees each hospital's update."
        return
    yield (
        "Each hospital masks its update with keys that only the hospitals have; the server can open only the "
        f"sum over the hospitals of a round, {_limit_of_sums(site)}"
    )
    bits = kind.algorithm.get("ring_bits")
    if bits is not None:
        yield (
            f"Each value is sent in {bits} bits, added to a random number of {bits} bits that is new in each "
            "try of a round: what is sent looks random, whatever the update is."
        )
    yield (
        "It hides a single update from the server's operator and from anybody who reads the server's disk or "
        "memory. It adds nothing against what the sum, the model or the scores reveal, and nothing if all "
        "other hospitals of the sum and the server collude."
    )
    yield (
        "It depends on the hospitals' identities: each compares the others' fingerprints outside the server "
        "(“consilium identity”). The server can't screen single updates; a false one counts."
    )


def _limit_of_sums(site: SiteFacts) -> str:
    demanded = site.aggregation
    if demanded is None:
        return "never fewer than each hospital's own threshold."
    everybody = demanded.peers + 1
    if everybody < demanded.fewest:
        return (
            f"of {demanded.fewest} or more by {site.name}'s own threshold. It has pinned "
            f"{counted(demanded.peers, 'other hospital')}, which is too few: until it pins more, it is left "
            "out of every round, and no update of it leaves in this job."
        )
    return (
        f"of {demanded.fewest} or more by {site.name}'s own threshold. If it and "
        f"{counted(demanded.peers, 'hospital')} that it pinned all take part, the sum is of at least "
        f"{demanded.threshold}. Other hospitals can demand more."
    )
