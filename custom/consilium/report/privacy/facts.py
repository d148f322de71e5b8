"""What a job asks of a hospital, and what the hospital decides: all that the officer's page is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from consilium.participant.site_settings import Role, SiteSettings
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import PrivacyPromise
from consilium.tasks.base import Task

Source = Literal["settings", "record"]
"""Whether a page is made from a job before it runs, or from its record afterwards."""


@dataclass(frozen=True)
class NoisePlan:
    """How a job keeps its promise at a hospital with some number of training patients.

    Attributes:
        patients: That number.
        steps: Of all rounds.
        sampling_rate: With which probability a step draws each patient.
        noise_multiplier: Standard deviation of the noise, in the norm that a patient's gradient is scaled to.
        delta: At which delta.
    """

    patients: int
    steps: int
    sampling_rate: float
    noise_multiplier: float
    delta: float


@dataclass(frozen=True)
class TrainingFacts:
    """What a training job asks.

    Attributes:
        rounds: Rounds of training.
        min_sites: Fewest hospitals whose updates make a round.
        batch_size: Samples of a step.
        local_steps: Steps of a round; None where epochs are given.
        local_epochs: Epochs of a round; None where steps are given.
        round_minutes: After which a site stops with the steps that it has made; None for never.
        sent: Names of the weight sets that the algorithm has a site send beside the update.
        received: Names of those that it receives beside the model.
        numbers: Plain numbers that it sends, each with its smallest and largest value.
        questions: Questions that it asks beside training, each with what is answered.
        keeps_weights: Whether some weights of the model stay at each site.
        rule: How updates combine.
        local_only: Whether each site trains a model alone as well.
        min_ready: Hospitals that a recent readiness check must have found ready; None without a check.
        starts_trained: Whether it starts from a trained model.
        resumes: Whether it resumes an interrupted job.
        algorithm: The algorithm's name and settings, as the job says them.
        promise: What the algorithm promises a site's patients.
        plan: How it keeps that for a number of patients; None without such a number or promise.
        withholds_losses: Whether no loss leaves.
        withholds_scores: Whether no score of validation patients leaves.
        sums_reports: Whether cases, losses and scores of validation patients leave in sums only.
        noise_of_one_site: Noise that each hospital adds as its part of a sum's, in norms; None for none.
    """

    rounds: int
    min_sites: int
    batch_size: int
    local_steps: int | None
    local_epochs: float | None
    round_minutes: float | None = None
    sent: tuple[str, ...] = ()
    received: tuple[str, ...] = ()
    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)
    keeps_weights: bool = False
    rule: str = "mean"
    local_only: bool = False
    min_ready: int | None = None
    starts_trained: bool = False
    resumes: bool = False
    algorithm: Mapping[str, object] = field(default_factory=dict)
    promise: PrivacyPromise = field(default_factory=PrivacyPromise)
    plan: NoisePlan | None = None
    withholds_losses: bool = False
    withholds_scores: bool = False
    sums_reports: bool = False
    noise_of_one_site: float | None = None


@dataclass(frozen=True)
class EvaluationFacts:
    """What an evaluation of models asks.

    Attributes:
        models: Names of the models; empty where none are chosen yet.
        local_only: Whether each site's own model is compared with them.
        min_patients: The job's own minimum behind an answer; None if it isn't known.
    """

    models: tuple[str, ...]
    local_only: bool
    min_patients: int | None


@dataclass(frozen=True)
class StatisticsFacts:
    """What a statistics job asks.

    Attributes:
        features: Titles of the features that there is a histogram of.
        min_count: The job's own minimum behind a number.
    """

    features: tuple[str, ...]
    min_count: int


@dataclass(frozen=True)
class ReadinessFacts:
    """A readiness check: it has no setting that changes what leaves."""


KindFacts: TypeAlias = TrainingFacts | EvaluationFacts | StatisticsFacts | ReadinessFacts


@dataclass(frozen=True)
class JobFacts:
    """A job.

    Attributes:
        name: Its name.
        task: Name of its task.
        title: The task's title, for people.
        metrics: Titles of the metrics that scores are of.
        has_counts: Whether scores hold counts of patients, such as a confusion matrix.
        source: What is known from where.
        of_kind: What depends on the kind of job.
    """

    name: str
    task: str
    title: str
    metrics: tuple[str, ...]
    has_counts: bool
    source: Source
    of_kind: KindFacts


@dataclass(frozen=True)
class BudgetFacts:
    """What a hospital's privacy ledger says.

    Attributes:
        jobs: Jobs with noise that have paid.
        payments: Attempts at rounds that they paid for.
        spent: Epsilon of the patient who has spent most, at the hospital's delta.
        head: Number and hash of the last entry.
        jobs_without_noise: Jobs that trained without noise: nothing bounds what they revealed.
        hospital_spent: Epsilon of the hospital as a whole; None where no noise has hidden it.
        hospital_releases: What was released about the hospital as a whole.
    """

    jobs: int
    payments: int
    spent: float
    head: str
    jobs_without_noise: int = 0
    hospital_spent: float | None = None
    hospital_releases: tuple[SampledGaussian, ...] = ()


@dataclass(frozen=True)
class AggregationFacts:
    """What a hospital demands of the sums of secure aggregation.

    Attributes:
        peers: Other hospitals that it pinned.
        fewest: Hospitals that a sum must be of, at least, also if no more take part.
        threshold: Hospitals that must be left at the end if it and all that it pinned take part.
        honest: Hospitals in the smallest of these sums, less those that may collude.
    """

    peers: int
    fewest: int
    threshold: int
    honest: int


@dataclass(frozen=True)
class SiteFacts:
    """What a hospital decides. Without its kit: what the software does unless a hospital decides otherwise.

    Attributes:
        name: The site's name; None where its kit isn't at hand.
        scope: The privacy scope that the job runs in there; None for the default one.
        role: Whether it trains.
        min_training_patients: Fewest patients behind a loss or scores.
        min_update_patients: Fewest patients behind an update.
        min_count: Fewest patients behind a number of statistics.
        max_evaluated_models: How many models may be evaluated on its test patients in all.
        local_only: Whether it trains a model alone where a job asks for one.
        has_own_model: Whether it names a model of its own to compare with.
        has_subgroups: Whether it names a file of subgroups.
        filters: Classes of its own filters of results, in order.
        streams_logs: Whether a job may stream its log files; None if that isn't known.
        demand: What a job that trains must offer, and the budget of its patients.
        budget: What its ledger says; None where no job has paid yet.
        withdraws: Whether it names a list of patients who withdrew.
        aggregation: What it demands of a sum; None where that isn't known, or it sends no masked update.
        hospital_noise: Noise on its whole update, which hides the hospital; None for none.
        missing_inputs: Inputs of the task that it doesn't acquire.
        missing_targets: Targets of the task that its labels lack.
    """

    name: str | None = None
    scope: str | None = None
    role: Role = "trains"
    min_training_patients: int = SiteSettings.model_fields["min_training_patients"].default
    min_update_patients: int = SiteSettings.model_fields["min_training_patients"].default
    min_count: int = SiteSettings.model_fields["min_count"].default
    max_evaluated_models: int = SiteSettings.model_fields["max_evaluated_models"].default
    local_only: bool = True
    has_own_model: bool = False
    has_subgroups: bool = False
    filters: tuple[str, ...] = ()
    streams_logs: bool | None = None
    demand: PrivacyDemand = field(default_factory=PrivacyDemand)
    budget: BudgetFacts | None = None
    withdraws: bool = False
    aggregation: AggregationFacts | None = None
    hospital_noise: HospitalNoise | None = None
    missing_inputs: tuple[str, ...] = ()
    missing_targets: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        settings: SiteSettings,
        task: Task,
        *,
        name: str,
        scope: str | None = None,
        filters: tuple[str, ...] = (),
        streams_logs: bool | None = None,
        budget: BudgetFacts | None = None,
    ) -> SiteFacts:
        """Return what a hospital's settings decide.

        Args:
            settings: The hospital's, for the job's task.
            task: The job's.
            name: The site's.
            scope: The privacy scope; None for the default one.
            filters: Classes of its own filters of results.
            streams_logs: Whether a job may stream its log files.
            budget: What its ledger says.
        """
        return cls(
            name=name,
            scope=scope,
            role=settings.role,
            min_training_patients=settings.min_training_patients,
            min_update_patients=settings.update_minimum,
            min_count=settings.min_count,
            max_evaluated_models=settings.max_evaluated_models,
            local_only=settings.local_only,
            has_own_model=settings.local_only_model is not None,
            has_subgroups=settings.subgroups_file is not None,
            filters=filters,
            streams_logs=streams_logs,
            demand=settings.privacy,
            budget=budget,
            withdraws=settings.withdrawn_patients is not None,
            hospital_noise=settings.hospital_noise,
            missing_inputs=tuple(one for one in settings.missing_inputs if one in task.inputs),
            missing_targets=settings.missing_targets_of(task),
        )

    @property
    def is_known(self) -> bool:
        """Whether a hospital's own settings are at hand."""
        return self.name is not None

    def score_minimum(self, *, has_counts: bool) -> int:
        """Return the fewest patients behind scores; more where they hold counts."""
        return self.count_minimum if has_counts else self.min_training_patients

    @property
    def count_minimum(self) -> int:
        """Fewest patients behind a count of an evaluation, or behind one end of an interval."""
        return max(self.min_count, self.min_training_patients)
