"""A hospital's settings for every job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.data.split import SetShares
from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.learning.compute_settings import ComputeSettings
from consilium.participant.task_data import OwnName, TaskData, describe_name_problem
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.settings import Name, Settings
from consilium.tasks.registry import TASKS, is_built_in, unlisted_reason

if TYPE_CHECKING:
    from consilium.tasks.base import Task

Role = Literal["trains", "evaluates"]


class SiteSettings(ComputeSettings):
    """A hospital's settings, from its own `local/` files and never from a job.

    Relative paths start at the site's workspace.

    Example:
        >>> site = SiteSettings(dataset=Path("/data/north"), role="evaluates")
        >>> site.min_training_patients
        3
    """

    dataset: Path = Field(description="Folder with the hospital's cases; it is only ever read.")
    cache_dir: Path = Field(default=Path("cache"), description="Where preprocessed cases are kept.")
    cache_gib: float | None = Field(
        default=None, gt=0, le=1e6, description="Limit of the cache; default: none."
    )
    state_dir: Path = Field(
        default=Path("site_state"),
        description="What the site has to remember as long as it takes part: the secret of its split, each "
        "patient's set, and who was answered about together. It is not a cache.",
    )
    accepted_findings: Path | None = Field(
        default=None,
        description="CSV file `case,code,files,by,note` of findings that the hospital looked at and accepts; "
        "default: accepted_findings.csv in state_dir, where there is one.",
    )
    label_convention: str | None = Field(
        default=None, description="What label values mean here; default: found from names and values."
    )
    patients_file: Path | None = Field(
        default=None,
        description="Which cases are of one patient: a CSV file with the columns case and patient; default: "
        "participants.tsv in the dataset folder, where it has one, and known names of follow-ups.",
    )
    subgroups_file: Path | None = Field(
        default=None,
        description="CSV file of subgroups that models are evaluated in, such as patient,age band,scanner; "
        "default: none.",
    )
    file_endings: dict[str, tuple[str, ...]] = Field(
        default={},
        description="Endings of file names to read beside the known ones: input, or label, to endings, "
        'such as {"label": ["mask"]}.',
    )
    missing_inputs: tuple[OwnName, ...] = Field(
        default=(),
        max_length=16,
        description="Images that this hospital doesn't acquire, by the task's names: its cases without them "
        "are used in jobs whose models learn to do without images, and in statistics.",
    )
    missing_targets: tuple[OwnName, ...] = Field(
        default=(),
        max_length=16,
        description="Targets that this hospital's labels lack, by the task's names: it trains and scores the "
        "others only.",
    )
    max_left_out: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the cases that may be left out; with more, the site declines.",
    )
    role: Role = Field(
        default="trains", description="A hospital that only evaluates does so with all its patients."
    )
    validation_fraction: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="Share of the patients to choose models on; no job trains on them.",
    )
    test_fraction: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Share of the patients to report on; no job trains on them or chooses a model by them.",
    )
    split_salt: str | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="In place of the secret, for simulations and tests, which have to repeat. Never at a "
        "hospital: who knows it knows which patients are validated on.",
    )
    min_count: int = Field(
        default=5,
        ge=1,
        le=1_000_000,
        description="Fewest patients behind a number of statistics, of the readiness check or of cases left "
        "out.",
    )
    min_training_patients: int = Field(
        default=3,
        ge=1,
        le=1_000_000,
        description="Fewest patients behind an update, a loss or scores. Smaller than min_count, as "
        "a small hospital's test set, a fifth of its patients, must be large enough.",
    )
    min_update_patients: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Fewest patients behind an update alone, where a hospital of few patients wants to "
        "train: its losses and scores still are of min_training_patients, or withheld. Default: that number.",
    )

    max_evaluated_models: int = Field(
        default=200,
        ge=0,
        le=1_000_000,
        description="How many different models jobs that only evaluate may have evaluated here in all; each "
        "one asks the same patients once more.",
    )
    local_only: bool = Field(
        default=True,
        description="Whether a job may have this hospital train a model alone as well, to compare with. The "
        "model stays here; its mean scores leave, as those of the federation's models do.",
    )

    local_only_model: Path | None = Field(
        default=None,
        description="The hospital's own model, as `consilium train --kit` writes it: a result folder or a "
        "model file. A job that evaluates models may have its scores compared with theirs; the model and "
        "the name of its file stay here. Default: none.",
    )

    privacy: PrivacyDemand = Field(
        default=PrivacyDemand(),
        description="What a job that trains must offer this hospital's patients, and their budget.",
    )
    hospital_noise: HospitalNoise | None = Field(
        default=None,
        description="Clip every update of this hospital as a whole and add noise to it before it leaves, "
        "whatever the job: a protection of the hospital, and not by patient. Default: none.",
    )
    withdrawn_patients: Path | None = Field(
        default=None,
        description="File of patients who withdrew, an id a line as in the dataset or the patients_file; no "
        "job reads their cases any more. Default: none.",
    )

    tasks: dict[Name, TaskData] = Field(
        default={},
        description="Task to what differs for it here. A task of another package runs here only if it is "
        "listed, be it with {}; those that come with Consilium need no entry.",
    )

    def for_task(self, task: str) -> SiteSettings:
        """Return the settings as they are for one task; nothing of the task is imported.

        A task with a dataset of its own has a state folder of its own: two datasets may use one id for two
        patients.

        Args:
            task: Its name.

        Raises:
            SiteRefusal: The task is of another package, and not listed here.
        """
        self.require_listed(task)
        own = self.tasks.get(task, TaskData())
        listed = {task: TaskData()} if task in self.tasks else {}
        stated = own.model_fields_set - {"dataset"}
        if own.dataset is None or own.dataset == self.dataset:
            return self.model_copy(update={"tasks": listed, **{name: getattr(own, name) for name in stated}})
        return self.model_copy(
            update={
                **{name: getattr(own, name) for name in TaskData.model_fields},
                "tasks": listed,
                "state_dir": self.state_dir / "tasks" / task,
            }
        )

    def missing_targets_of(self, task: Task) -> tuple[str, ...]:
        """Return which of a task's targets this hospital's labels lack, in the task's order.

        A setting for all of the hospital's tasks may name targets of another one.

        Args:
            task: The task.
        """
        return tuple(one.name for one in task.targets if one.name in self.missing_targets)

    @property
    def update_minimum(self) -> int:
        """Fewest patients behind an update."""
        return self.min_training_patients if self.min_update_patients is None else self.min_update_patients

    @property
    def set_shares(self) -> SetShares:
        """Shares of the patients to validate and to test on."""
        return SetShares(self.validation_fraction, self.test_fraction, self.min_training_patients)

    def require_listed(self, task: str) -> None:
        """Decline a task of another package that the hospital has not listed.

        Raises:
            SiteRefusal: It is one.
        """
        if task not in self.tasks and not is_built_in(task):
            raise SiteRefusal(unlisted_reason(task), code=RefusalCode.TASK)

    def in_workspace(self, workspace: Path) -> SiteSettings:
        """Return the settings with their relative paths below a workspace, as the site's processes see them.

        Args:
            workspace: The site's, which is its kit's folder.
        """
        tasks = {name: own.model_copy(update=_below(workspace, own)) for name, own in self.tasks.items()}
        return self.model_copy(update={**_below(workspace, self), "tasks": tasks})

    @model_validator(mode="after")
    def _somebody_is_trained_on(self) -> Self:
        try:
            self.set_shares  # noqa: B018 - it checks itself
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _updates_are_of_no_more_patients(self) -> Self:
        """A minimum for updates can only be the lower one: `min_training_patients` is of updates as well."""
        if self.update_minimum > self.min_training_patients:
            raise ValueError(
                f"min_update_patients is {self.min_update_patients}, more than min_training_patients "
                f"({self.min_training_patients}), which updates, losses and scores are of at least: raise "
                "min_training_patients, and leave min_update_patients out"
            )
        return self

    @model_validator(mode="after")
    def _names_are_of_the_task(self) -> Self:
        """A typing error in the name of an input would leave out every case, and only once a job runs."""
        for name, own in self.tasks.items():
            if problem := describe_name_problem(
                name, own.file_endings, own.missing_inputs, own.missing_targets
            ):
                raise ValueError(f"tasks.{name}.{problem}")
        if self.file_endings or self.missing_inputs or self.missing_targets:
            problems = [
                describe_name_problem(name, self.file_endings, self.missing_inputs, self.missing_targets)
                for name in (*TASKS, *self.tasks)
            ]
            if all(problems):  # for all tasks, so it is enough that one of them knows these names
                raise ValueError(problems[-1])
        return self

    @model_validator(mode="after")
    def _one_task_for_a_dataset(self) -> Self:
        """Two registers of the same patients would answer one question about different groups of them."""
        seen: dict[Path, str] = {}
        for name, own in self.tasks.items():
            if own.dataset is None or own.dataset == self.dataset:
                continue
            if (other := seen.setdefault(own.dataset, name)) != name:
                raise ValueError(
                    f"tasks {other} and {name} have one dataset of their own, {own.dataset}: what is "
                    "answered about its patients for one could be compared with the other; give one of them "
                    "another folder, or make it the site's dataset"
                )
        return self


def _below(workspace: Path, settings: Settings) -> dict[str, Path]:
    return {name: workspace / value for name, value in settings if isinstance(value, Path)}
