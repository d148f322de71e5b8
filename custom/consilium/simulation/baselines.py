"""Baselines of a federation: local-only models, and a pooled one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

from consilium.data.cache import CachedCase
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.model_file import load_model
from consilium.learning.weights import Weights
from consilium.participant.local_only import PairedScores, score_both, train_local_only
from consilium.participant.participant import Participant
from consilium.participant.site_data import SiteData
from consilium.participant.standalone_plan import StandalonePlan
from consilium.processes import defer_interrupts, worker_pool
from consilium.records.federation import BaselineRecord
from consilium.records.gain import SiteGain, measure_gain, patient_gains
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores

POOLED = "pooled"
_SECONDS_BETWEEN_LOOKS = 0.5

OnModelStep = Callable[[str, int, int], None]
"""Called with the model's name, its steps done and its total steps."""

OnModel = Callable[[str, StandalonePlan, Weights], None]
"""Called with the model's name, how it was trained, and its weights."""


@dataclass(frozen=True)
class _Federation:
    """The federation's model and minimums for the comparison with a local-only model.

    Attributes:
        model: File of the federation's final model.
        min_counts: Fewest patients behind an interval, by hospital.
    """

    model: Path
    min_counts: Mapping[str, int]


@dataclass(frozen=True)
class _Outcome:
    name: str
    weights: Weights
    scores: dict[str, Scores]
    seconds: float
    gain: SiteGain | None = None
    patient_gains: tuple[float, ...] = ()


def train_baselines(
    sites: Mapping[str, SiteData],
    learning: LearningSettings,
    rounds: int,
    *,
    final_model: Path,
    min_counts: Mapping[str, int],
    workers: int,
    on_step: OnModelStep = lambda name, done, total: None,
    on_model: OnModel = lambda name, plan, weights: None,
    start: Weights | None = None,
    device: str = "auto",
) -> BaselineRecord:
    """Train a model at each training hospital alone and one on all their data, and evaluate each everywhere.

    Every model starts from the weights that the federation starts from and makes as many steps as a site
    makes in the federation. A local model's steps are on its site's samples; the pooled model's are each
    on as many samples as those of all sites together, which is what averaging after every step would be.
    Local models are trained and compared with the federation's as sites do it for a job with `local_only`;
    here they are evaluated at the other hospitals as well.

    Args:
        sites: Prepared data of every hospital.
        learning: The federation's settings.
        rounds: The federation's rounds.
        final_model: File of the federation's final model.
        min_counts: Fewest patients behind an interval that a hospital would send, by hospital.
        workers: Models trained at the same time, on one core each.
        on_step: Called with the progress of each model.
        on_model: Called with each model, once all are trained.
        start: The model that the federation starts from; None where it starts from drawn weights.
        device: On which they are trained and evaluated.
    """
    # The models to compare with train side by side.
    compute = ComputeSettings(device=device, cpu_threads=1, processes=1)
    plans = _plan(sites, learning, rounds, start)
    test = {name: data.test for name, data in sites.items()}
    federation = _Federation(final_model, min_counts)
    steps: Queue[tuple[str, int, int]] = get_context("spawn").Queue()
    with worker_pool(workers, _connect, (steps,)) as pool:
        try:
            with defer_interrupts():  # the workers start now and inherit it
                futures = [
                    pool.submit(_train_and_evaluate, name, plan, test, federation, compute)
                    for name, plan in plans.items()
                ]
            outcomes = {outcome.name: outcome for outcome in _collect(futures, steps, on_step)}
        except BaseException:  # after Ctrl-C, too: the pool would wait for its processes
            for process in list(getattr(pool, "_processes", {}).values()):
                process.kill()
            raise
    for name, outcome in outcomes.items():
        on_model(name, plans[name], outcome.weights)
    local = {name: outcome for name, outcome in outcomes.items() if name != POOLED}
    return BaselineRecord(
        local_steps=max(plan.steps for name, plan in plans.items() if name != POOLED),
        pooled_steps=plans[POOLED].steps,
        local={name: outcome.scores for name, outcome in sorted(local.items())},
        pooled=outcomes[POOLED].scores,
        gains={name: outcome.gain for name, outcome in sorted(local.items()) if outcome.gain},
        patient_gains={
            name: list(outcome.patient_gains) for name, outcome in sorted(local.items()) if outcome.gain
        },
        local_seconds=sum(outcome.seconds for outcome in local.values()),
        pooled_seconds=outcomes[POOLED].seconds,
    )


def _plan(
    sites: Mapping[str, SiteData], learning: LearningSettings, rounds: int, start: Weights | None
) -> dict[str, StandalonePlan]:
    """Return the plans by name, the longest first, so that no worker is left alone with it at the end."""
    return {
        POOLED: StandalonePlan.pooled(sites, learning, rounds, start=start),
        **{
            name: StandalonePlan.local_only(name, data, learning, rounds, start=start)
            for name, data in sites.items()
            if data.train
        },
    }


def _collect(
    futures: list[Future[_Outcome]], steps: Queue[tuple[str, int, int]], on_step: OnModelStep
) -> list[_Outcome]:
    while not all(future.done() for future in futures):
        try:
            on_step(*steps.get(timeout=_SECONDS_BETWEEN_LOOKS))
        except Empty:
            failed = [future for future in futures if future.done() and future.exception()]
            if failed:
                break
    return [future.result() for future in futures]


# --- in the worker process ---

_steps: Queue[tuple[str, int, int]] | None = None


def _connect(steps: Queue[tuple[str, int, int]]) -> None:
    global _steps
    _steps = steps
    # MONAI calls deprecated parts of its own, which the person at the terminal can't change.
    warnings.filterwarnings("ignore", category=FutureWarning)


def _train_and_evaluate(
    name: str,
    plan: StandalonePlan,
    test: Mapping[str, tuple[CachedCase, ...]],
    federation: _Federation,
    compute: ComputeSettings,
) -> _Outcome:
    started = time.monotonic()
    participant = Participant(plan.data, plan.learning, compute)
    last_told = 0.0

    def report(index: int, step: int, steps: int) -> None:
        nonlocal last_told
        done = index * steps + step
        if _steps is not None and (time.monotonic() - last_told > 1 or done == plan.steps):
            last_told = time.monotonic()
            _steps.put((name, done, plan.steps))

    weights = train_local_only(participant, plan.learning, plan.rounds, start=plan.start, on_step=report)
    pairs: list[PairedScores] = []
    if plan.data.test:
        final, _ = load_model(federation.model)
        pairs = score_both(participant, weights, final)
    evaluation = get_task(plan.learning.task).evaluation
    scores = {
        site: participant.summarize(weights, cases=cases, final=True)
        for site, cases in test.items()
        if cases and site != name
    }
    if pairs:
        scores[name] = evaluation.summarize([pair.local for pair in pairs], [pair.patient for pair in pairs])
    return _Outcome(
        name,
        weights,
        scores,
        time.monotonic() - started,
        measure_gain(pairs, evaluation, min_count=federation.min_counts.get(name, 1)),
        tuple(patient_gains(pairs, evaluation)),
    )
