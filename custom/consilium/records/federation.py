"""Record of a training job: counts, scores and codes, nothing about a patient.

A site's part of it is made of the bounded types of `consilium.records.bounds`: what is out of bounds is
rejected when it arrives.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from consilium.data.files import write_atomically
from consilium.data.split import EvaluatedSet
from consilium.records.bounds import (
    MOST_BYTES,
    MOST_ENTRIES,
    BySite,
    ByteCount,
    CaseCount,
    Code,
    CodeCounts,
    Duration,
    Finite,
    Label,
    LongReason,
    Loss,
    MissingTargets,
    NoiseMultiplier,
    Numbers,
    Packages,
    Reason,
    Record,
    RoundCount,
    RoundNumber,
    Score,
    Seconds,
    Share,
    SiteLabel,
    StepCount,
    Tree,
    Versions,
    WithheldCount,
    Word,
    limit_entries,
)
from consilium.records.gain import SiteGain
from consilium.records.reading import Contradiction, read_record
from consilium.records.score_intervals import ScoreIntervals
from consilium.records.summed_reports import SummedReports
from consilium.settings import MAX_SITES
from consilium.tasks.metrics import MOST_METRICS, MetricSet

FEDERATION_FILE = "federation.json"
"""Name of the record in the server's run folder; `download_job` includes it."""

MOST_ROUNDS: Final = 100_000
"""Of one record."""

OutcomeKind = Literal["success", "partial", "failure"]
"""How a job ended; see `consilium.records.outcome`."""


def _check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The groups that reports read; records of before them have none."""
    for name in ("learning", "aggregation"):
        if not isinstance(settings.get(name), dict | None):
            raise ValueError(f"{name} is not a group of settings")
    rule = settings.get("aggregation") or {}
    share, kind = rule.get("max_site_share", 1.0), rule.get("rule", "mean")
    if type(share) not in (int, float) or not 0 < share <= 1 or not isinstance(kind, str):
        raise ValueError("aggregation has a rule, and a max_site_share above 0 and up to 1")
    return settings


RecordedSettings = Annotated[Tree, AfterValidator(_check_settings)]
"""Settings of a job, as it was given them."""

SiteScores = Annotated[dict[Word, Score], BeforeValidator(partial(limit_entries, most=MOST_METRICS))]
"""A model's scores at one site, by metric."""


class SiteReport(Record):
    """A site's report of its part in a task, besides weights and scores."""

    role: Literal["trains", "evaluates"]
    train_cases: WithheldCount = Field(description="Null where the job's algorithm sends them in sums only.")
    validation_cases: WithheldCount = Field(
        description="Cases that models are chosen on; null where they are too few, and scores stay there."
    )
    validation_patients: WithheldCount = None
    test_cases: WithheldCount = Field(
        default=0,
        description="Cases that a job's final scores are means of; null where they are too few, and the "
        "scores stay there.",
    )
    test_patients: WithheldCount = None
    earlier_models: CaseCount = Field(
        default=0, description="Models that were evaluated on the site's test patients before this job."
    )
    intervals: ScoreIntervals = Field(
        default_factory=dict,
        description="Of test scores, by metric; none where of too few patients.",
    )
    left_out: CodeCounts = Field(default_factory=dict, description="Cases left out, by code.")
    missing_targets: MissingTargets = Field(default_factory=list)
    steps: StepCount = 0
    loss: Loss | None = None
    train_seconds: Seconds = 0.0
    task_seconds: Seconds = 0.0
    bytes_sent: ByteCount = Field(default=0, description="Since the site's job process started.")
    bytes_received: ByteCount = Field(default=0, description="Since the site's job process started.")
    numbers: Numbers = Field(default_factory=dict, description="What the job's algorithm asks for, by name.")
    hospital_noise: NoiseMultiplier | None = Field(
        default=None,
        description="Noise that hides the hospital as a whole in its updates, in norms that they are clipped "
        "to, by its own account; null for none. It is no protection by patient.",
    )
    versions: Versions = Field(default_factory=dict)
    gain: SiteGain | None = Field(
        default=None,
        description="Over the model that it trained alone, where the job asks for one; null where it would "
        "be of too few patients.",
    )


class SiteRound(Record):
    """One site in one task: a round, the preparation before the first, or an evaluation after the last."""

    outcome: Literal["ready", "answered", "trained", "evaluated", "refused", "excluded", "no answer"]
    reason: Reason | None = None
    code: Code = Field(default=None, description="What kind of reason it is.")
    left_out: CodeCounts = Field(
        default_factory=dict, description="Of a site that declined: the cases left out, by code."
    )
    weight: Share | None = Field(
        default=0.0, description="Share in the round's aggregate; null where the server can't know it."
    )
    update_norm: Finite | None = Field(default=None, description="Euclidean norm of the weight difference.")
    report: SiteReport | None = None


class RoundRecord(Record):
    """One round of training."""

    number: RoundCount
    attempts: RoundCount = Field(default=1, description="How often the round was tried until it counted.")
    seconds: Duration
    turn: SiteLabel | None = Field(
        default=None, description="The only site that trained, as it was its turn; null where all did."
    )
    missed_turns: BySite[SiteRound] = Field(default_factory=dict, description="Of attempts that failed.")
    sites: BySite[SiteRound]
    questions: Annotated[
        dict[Label, BySite[SiteRound]], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))
    ] = Field(default_factory=dict, description="What each site answered to the algorithm's other questions.")
    scores: BySite[SiteScores] = Field(
        default_factory=dict, description="Scores of the model that this round made, by site."
    )
    summed: SummedReports | None = Field(
        default=None, description="Where cases, losses and scores leave the sites in sums only."
    )
    rolled_back: Reason | None = Field(
        default=None, description="Why this round's model was dropped, and the one before kept."
    )


class Resumption(Record):
    """The resumption of an interrupted job."""

    job: Label = Field(description="Id of the interrupted job.")
    after_round: RoundNumber = Field(description="Its last durable round; the rounds up to it are its own.")


class FederationRecord(Record):
    """A whole run."""

    job: Label
    task: Word
    title: Label = Field(description="Of the task, for people.")
    metrics: MetricSet = Field(description="What the scores are, and the one that selects models.")
    status: Literal["running", "finished", "failed"] = "running"
    reason: LongReason | None = None
    code: Code = Field(default=None, description="The kind of reason.")
    rounds_planned: RoundCount
    settings: RecordedSettings
    initial_scores: BySite[SiteScores] = Field(default_factory=dict)
    preparation: BySite[SiteRound] = Field(
        default_factory=dict, description="What each site said before the first round."
    )
    preparation_seconds: Duration | None = None
    rounds: list[RoundRecord] = Field(default_factory=list, max_length=MOST_ROUNDS)
    validation_sites: BySite[SiteRound] = Field(
        default_factory=dict, description="What each site said with the last round's validation scores."
    )
    final_scores: BySite[SiteScores] = Field(
        default_factory=dict, description="Of the final model on test patients; rounds' are on others."
    )
    final_sites: BySite[SiteRound] = Field(default_factory=dict)
    best_scores: BySite[SiteScores] = Field(
        default_factory=dict,
        description="The same of the best round's model; equal where that is the final one.",
    )
    best_sites: BySite[SiteRound] = Field(
        default_factory=dict, description="What each site said with them; empty where they are the same."
    )
    local_only: BySite[SiteRound] = Field(
        default_factory=dict,
        description="What each site answered about the model that it trained alone; empty where the job "
        "asked for none.",
    )
    best_round: RoundNumber | None = Field(
        default=None, description="Round whose model is kept as the best; never one that was dropped."
    )
    excluded: list[SiteLabel] = Field(
        default_factory=list,
        max_length=MAX_SITES,
        description="Sites excluded from training: their scores choose no model.",
    )
    resumed: list[Resumption] = Field(
        default_factory=list,
        max_length=MOST_ENTRIES,
        description="Jobs that this one resumes, the first of them first.",
    )
    versions: Packages = Field(default_factory=dict, description="At the server.")

    @property
    def scored_on(self) -> EvaluatedSet:
        """The set that the final model's scores are of; validation before there were test sets."""
        tested = [one.report for site, one in self.final_sites.items() if site in self.final_scores]
        return "test" if not tested or any(one and one.test_cases != 0 for one in tested) else "validation"

    def scored_cases(self, report: SiteReport) -> int | None:
        """Return the cases that the final model's scores are of; None where scores stay at the site."""
        return report.test_cases if self.scored_on == "test" else report.validation_cases

    @property
    def gains(self) -> dict[str, SiteGain]:
        """Each hospital's gain over its local-only model, if reported."""
        return {
            site: one.report.gain
            for site, one in sorted(self.local_only.items())
            if one.outcome == "evaluated" and one.report and one.report.gain
        }

    def save(self, folder: Path) -> None:
        """Write the record into a folder; a crash leaves the one before it."""
        write_atomically(folder / FEDERATION_FILE, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> FederationRecord:
        """Read the record of a run folder; see `read_record`."""
        return read_record(cls, folder / FEDERATION_FILE)

    def check_consistency(self) -> None:
        """Check what each field's bounds can't: that rounds are there in order, the best one among them.

        Raises:
            Contradiction: If they don't fit.
        """
        for place, one in enumerate(self.rounds):
            if one.number != place + 1:
                raise Contradiction(
                    f"rounds.{place}.number", allowed=f"{place + 1}, in order", seen=one.number
                )
        best, last = self.best_round, len(self.rounds)
        if best is not None and not 1 <= best <= last:
            raise Contradiction("best_round", allowed=f"null or a round from 1 to {last}", seen=best)


class BaselineRecord(Record):
    """Baselines of the federation's model: same settings and number of steps, other data.

    Scores are those of test cases of every hospital, by all metrics, by site.
    """

    local_steps: int = Field(
        ge=1, le=MOST_BYTES, description="Steps that each local-only model was trained, as its site was."
    )
    pooled_steps: int = Field(
        ge=1, le=MOST_BYTES, description="Steps of the pooled model, each on as many samples as all sites'."
    )
    local: BySite[BySite[SiteScores]] = Field(
        description="Site that the model was trained at alone -> site that evaluated it -> scores."
    )
    pooled: BySite[SiteScores] = Field(description="Site that evaluated the model of all data -> scores.")
    gains: BySite[SiteGain] = Field(
        default_factory=dict,
        description="What each hospital gains over its local-only model, as a real one says it.",
    )
    patient_gains: BySite[list[Score]] = Field(
        default_factory=dict,
        description="The same of single patients: by how much the key metric of each is better, ascending. "
        "Real hospitals keep them to themselves.",
    )
    local_seconds: Duration
    pooled_seconds: Duration
