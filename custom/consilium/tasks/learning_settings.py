"""Learning settings that every task has."""

from __future__ import annotations

from typing import ClassVar, get_args

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.settings import Name, Settings

MIN_LEARNING_RATE = 1e-7
"""Below it the model hardly moves in 32 bits. With a model that doesn't change, the losses of many rounds are
about patients rather than about learning."""


class LearningSettings(Settings):
    """Settings of a model and its training, the same for every site.

    Each task has a subclass with settings of its own: its `task` is a literal with a default, and so is its
    `network`, or a name that is checked against `networks`: a job can name none that the task can't build.
    Values whose task isn't known beforehand are read by `consilium.tasks.parse_learning`, or by a field of
    type `consilium.tasks.TaskLearning`.

    Exactly one of `local_steps` and `local_epochs` says how much a site trains in a round. With steps every
    site works equally long, whatever its number of patients; with epochs every patient is seen equally often.
    """

    task: Name
    network: Name
    batch_size: int = Field(default=1, ge=1, le=64)
    local_steps: int | None = Field(default=16, ge=1, le=1_000_000)
    local_epochs: float | None = Field(default=None, gt=0, le=10_000)
    round_minutes: float | None = Field(
        default=None,
        ge=0.01,
        le=10_000,
        description="A site stops a round's training after so long, with the steps that it has made, and at "
        "least those that show enough patients; null: never.",
    )
    learning_rate: float = Field(default=8e-3, ge=MIN_LEARNING_RATE, le=1)
    weight_decay: float = Field(default=1e-5, ge=0, le=1)
    warmup: float = Field(
        default=0.05, ge=0, le=0.5, description="Share of all steps in which the rate grows."
    )
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        if (self.local_steps is None) == (self.local_epochs is None):
            stated = ", ".join(
                f"{name} {'null' if value is None else value}"
                for name, value in (("local_steps", self.local_steps), ("local_epochs", self.local_epochs))
            )
            raise ValueError(
                f"give exactly one of local_steps and local_epochs, and null for the other (seen: {stated})"
            )
        return self

    @classmethod
    def networks(cls) -> tuple[str, ...]:
        """Return the names of the task's networks."""
        return get_args(cls.model_fields["network"].annotation)

    missing_inputs_setting: ClassVar[str] = ""
    """The setting with which, above 0, a model learns to do without some images; "" for a task that can't."""

    @property
    def accepts_missing_inputs(self) -> bool:
        """Whether a model learns to do without some images of a case; False for a task that can't."""
        return False

    @property
    def accepts_missing_targets(self) -> bool:
        """Whether a hospital can train whose labels lack some targets; False for a task that can't."""
        return False

    @property
    def has_affine_normalization(self) -> bool:
        """Whether the network's normalization has affine parameters; True where that isn't known."""
        return True

    @property
    def caution(self) -> str:
        """What a reader of a model's results has to know about how it was trained; "" for nothing."""
        return ""

    @property
    def summary(self) -> str:
        """What is trained, in a few words for lists of jobs."""
        return self.network

    def steps_per_round(self, train_cases: int) -> int:
        """Return how many steps a site with that many training cases makes in a round."""
        if self.local_steps is not None:
            return self.local_steps
        assert self.local_epochs is not None  # checked when the settings were made
        return max(1, round(self.local_epochs * train_cases / self.batch_size))
