"""Base recipe of training jobs: settings, components, and the place of each setting in the job's files."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from nvflare.app_common.widgets.metrics_artifact_writer import MetricsArtifactWriter
from nvflare.utils.job_launcher_utils import PORTABLE_RESOURCE_DEFAULT_KEY
from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.aggregation.rules import AggregationSettings
from consilium.counts import counted
from consilium.federation.exchange.quorum import QuorumSettings
from consilium.federation.message_names import (
    LOCAL_ONLY,
    PREPARE,
    RESUME_META,
    SITE_STATE_EVENT,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.monitoring.curves import ScoreCurves
from consilium.federation.rounds.controller import FederatedTraining
from consilium.federation.rounds.job_admission import AdmissionSettings
from consilium.federation.rounds.persistor import WeightsPersistor
from consilium.federation.safe_names import JobId
from consilium.federation.site.executor import SiteExecutor
from consilium.federation.updates.screening import ScreeningSettings
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.initial_model import InitialModel
from consilium.recipes.base import (
    LEARNING_PLACE,
    TASK_REQUEST_PLACE,
    JobRecipe,
    JobSettings,
    Place,
    new_job,
)
from consilium.records.model_comparison import DEFAULT_SELECTION, SelectionRule
from consilium.settings import MINUTES_PER_YEAR
from consilium.tasks import TaskLearning

_TRAINING: Final[Place] = ("server", "workflows", 0, "args")

ALGORITHM_PLACE: Final[Place] = (*_TRAINING, "algorithm")
"""By which algorithm a job trains; every site's copy of it must be the same."""


class TrainingSettings(JobSettings):
    """Settings of a training job; a round needs `min_sites` updates."""

    algorithm: AlgorithmSettings
    rounds: int = Field(default=10, ge=1, le=10_000)
    quorum: QuorumSettings = QuorumSettings()
    admission: AdmissionSettings | None = Field(
        default=None, description="Start only with a recent readiness check; default: without."
    )
    aggregation: AggregationSettings = AggregationSettings()
    screening: ScreeningSettings = ScreeningSettings()
    rollback_margin: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Drop a round whose model's key metric is worse by more than this; default: never.",
    )
    selection: SelectionRule = Field(
        default=DEFAULT_SELECTION,
        description="How the best round's model is selected on the sites' validation patients: by the median "
        "of the sites' differences, the mean over sites, the worst_site, or the mean over patients.",
    )
    local_only: bool = Field(
        default=False,
        description="At the end every site trains a model alone as well, with the same steps; only its "
        "scores are sent, so that the report can say what each hospital gains.",
    )
    deadline_hours: float | None = Field(
        default=168.0,
        gt=0,
        le=MINUTES_PER_YEAR / 60,
        description="How long the whole job may take; then it ends, and can be resumed. Null: without end.",
    )
    gpus_per_site: int = Field(
        default=0,
        ge=0,
        le=64,
        description="GPUs that a site must have free for the job; without them it is left out.",
    )
    initial: InitialModel | None = Field(
        default=None,
        description="The model to start from, as `--from` writes it; default: weights drawn from the seed.",
    )
    resume: JobId | None = Field(
        default=None,
        description="Id of an interrupted job to resume after its last durable round; default: none.",
    )
    learning: TaskLearning

    @model_validator(mode="after")
    def _check_time(self) -> Self:
        promise = self.algorithm.promise()
        alike = "secure aggregation" if promise.secure_aggregation else "differential privacy"
        if (promise.secure_aggregation or promise.epsilon is not None) and (
            self.learning.round_minutes is not None
        ):
            raise ValueError(
                f"with {alike} all sites take the steps that the job states: leave learning.round_minutes "
                "null"
            )
        return self

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.initial is not None and self.local_only:
            raise ValueError(
                "local_only has each site train alone from drawn weights, and this job starts from a trained "
                "model that sites don't have: it would not be known what a hospital gains; leave one of them "
                "out, or compare in a simulation: `consilium simulate --compare`"
            )
        return self


class TrainingRecipe(JobRecipe):
    """A job in which hospitals train one model by an algorithm; a subclass names the algorithm.

    Args:
        settings: What the job decides.
    """

    kind = "training"
    controller = FederatedTraining
    places = MappingProxyType(
        {
            "name": ("meta", "name"),
            "min_sites": (*_TRAINING, "min_sites"),
            "task_request_seconds": TASK_REQUEST_PLACE,
            "algorithm": ALGORITHM_PLACE,
            "rounds": (*_TRAINING, "rounds"),
            "quorum": (*_TRAINING, "quorum"),
            "admission": (*_TRAINING, "admission"),
            "aggregation": (*_TRAINING, "aggregation"),
            "screening": (*_TRAINING, "screening"),
            "rollback_margin": (*_TRAINING, "rollback_margin"),
            "selection": (*_TRAINING, "selection"),
            "local_only": (*_TRAINING, "local_only"),
            "deadline_hours": (*_TRAINING, "deadline_hours"),
            "initial": (*_TRAINING, "initial"),
            "gpus_per_site": ("meta", "resource_spec", PORTABLE_RESOURCE_DEFAULT_KEY, "num_of_gpus"),
            "resume": ("meta", RESUME_META),
            "learning": LEARNING_PLACE,
        }
    )

    settings: TrainingSettings

    def __init__(self, settings: TrainingSettings) -> None:
        # `mode="json"`: what a job holds are numbers, texts and lists, nothing that a site would have to
        # construct.
        learning = settings.learning.model_dump(mode="json")
        job = new_job(settings, {RESUME_META: settings.resume} if settings.resume else None)
        if settings.gpus_per_site:
            job.job.add_resource_spec(PORTABLE_RESOURCE_DEFAULT_KEY, {"num_of_gpus": settings.gpus_per_site})
        algorithm = settings.algorithm.model_dump(mode="json")
        initial = settings.initial.model_dump(mode="json") if settings.initial else None
        training = FederatedTraining(
            rounds=settings.rounds,
            min_sites=settings.min_sites,
            learning=learning,
            algorithm=algorithm,
            quorum=settings.quorum.model_dump(mode="json"),
            admission=settings.admission.model_dump(mode="json") if settings.admission else None,
            aggregation=settings.aggregation.model_dump(mode="json"),
            screening=settings.screening.model_dump(mode="json"),
            rollback_margin=settings.rollback_margin,
            selection=settings.selection,
            local_only=settings.local_only,
            deadline_hours=settings.deadline_hours,
            initial=initial,
        )
        job.to_server(training, id="training")
        job.to_server(WeightsPersistor(learning=learning, initial=initial), id="persistor")
        job.to_server(MetricsArtifactWriter(), id="metrics")
        job.to_server(ScoreCurves(), id="tensorboard")
        questions = settings.algorithm.declaration.questions
        tasks = [PREPARE, TRAIN, VALIDATE, TEST, *questions, *([LOCAL_ONLY] if settings.local_only else [])]
        executor = SiteExecutor(learning=learning, algorithm=algorithm, min_sites=settings.min_sites)
        job.to_clients(executor, tasks=tasks)
        job.to_clients(ConvertToFedEvent(events_to_convert=[SITE_STATE_EVENT]), id="events")
        super().__init__(settings, job)

    @classmethod
    def algorithm(cls) -> str:
        """Return the name of the algorithm, by which a job's files are known to be this recipe's."""
        name: str = cls.settings_type.model_fields["algorithm"].get_default().name
        return name

    @property
    def summary(self) -> str:
        """What the job trains."""
        learning = self.settings.learning
        return (
            f"{learning.summary}, {counted(self.settings.rounds, 'round')}, "
            f"at least {counted(self.settings.min_sites, 'site')}"
        )
