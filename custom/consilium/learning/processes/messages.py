"""Messages between a site's process and its training processes: JSON, checked on arrival.

Weights and lists of cases are passed as files in the group's folder, so that no message is ever larger than a
socket's buffer and no process waits for one that has stopped listening.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from consilium.data.cache import CachedCase
from consilium.errors import RefusalCode
from consilium.learning.compute_settings import ComputeSettings
from consilium.privacy.mechanism import SampledGaussian
from consilium.settings import Settings
from consilium.tasks import TaskLearning
from consilium.tasks.metrics import Scores

StopKind = Literal["cancelled", "failed", "refused"]
"""Why a process stopped."""

PERSONAL: Final = "personal"
"""Name of the set of weights that are the site's own, in `GroupFolder.trained`."""

SENT: Final = "sent."
"""What the names of the sets to be sent begin with there."""

CASES: TypeAdapter[tuple[CachedCase, ...]] = TypeAdapter(tuple[CachedCase, ...])
"""JSON of cases. It names patients: it stays in the group's folder."""


class GroupFolder(Settings):
    """The files that a site's process and its training processes share; readable by the site's account only.

    Attributes:
        path: The folder.
        socket: Where the site's process listens while the others start; see `socket_folder`.
    """

    path: Path
    socket: Path

    @property
    def setup(self) -> Path:
        """`Setup`, there while the processes start."""
        return self.path / "setup.json"

    @property
    def cases(self) -> Path:
        """`CASES` to score, there while they are scored."""
        return self.path / "cases.json"

    @property
    def received(self) -> Path:
        """Weights to train from or to evaluate next."""
        return self.path / "received.safetensors"

    @property
    def trained(self) -> Path:
        """What the last training gave: the weights, those of the site's own, and the sets to be sent."""
        return self.path / "trained.safetensors"

    @property
    def store(self) -> Path:
        """Where `torch.distributed` keeps what its processes need to find each other."""
        return self.path / "store"

    @property
    def rendezvous(self) -> Path:
        """The same for torchrun."""
        return self.path / "rendezvous"

    @property
    def log(self) -> Path:
        """What torchrun and the training processes print."""
        return self.path / "processes.log"

    def remove_cases_and_weights(self) -> None:
        """Remove cases and weights; torchrun needs the other files to end."""
        for file in (self.setup, self.cases, self.received, self.trained):
            file.unlink(missing_ok=True)


class _Message(Settings):
    model_config = ConfigDict(ser_json_inf_nan="constants")


class Setup(_Message):
    """Setup of a training process for a job.

    Attributes:
        learning: What the job decides.
        compute: What the site decides.
        train: The training cases.
        min_patients: Fewest patients behind an update.
        min_loss_patients: Fewest patients behind a loss.
        draw_seed: What samples are drawn by; None for the job's seed.
        memory: Folder for the state that a round starts from, kept across restarts; None for none.
        algorithm: The settings of the job's algorithm; None for plain local training.
        missing_targets: Targets that the labels lack.
    """

    learning: TaskLearning
    compute: ComputeSettings
    train: tuple[CachedCase, ...]
    min_patients: int = 1
    min_loss_patients: int = 1
    draw_seed: int | None = None
    memory: Path | None = None
    algorithm: dict[str, Any] | None = None
    missing_targets: tuple[str, ...] = ()


class Train(_Message):
    """Train one round from the weights in the folder; the algorithm's sets lie with them."""

    kind: Literal["train"] = "train"
    round_index: int
    rounds: int
    paid: tuple[SampledGaussian, ...] = ()


class Score(_Message):
    """Evaluate the weights in the folder on the cases in the folder."""

    kind: Literal["score"] = "score"
    final: bool


class Cancel(_Message):
    """Stop the current command, and confirm."""

    kind: Literal["cancel"] = "cancel"


class Joined(_Message):
    """The first message of every training process."""

    kind: Literal["joined"] = "joined"
    rank: int
    pid: int


class Ready(_Message):
    """The process is set up and waits for commands."""

    kind: Literal["ready"] = "ready"


class Progress(_Message):
    """Steps or cases done so far."""

    kind: Literal["progress"] = "progress"
    done: int
    total: int
    loss: float | None = None


class Trained(_Message):
    """The round is done, and its weights are in the folder."""

    kind: Literal["trained"] = "trained"
    loss: float | None
    steps: int
    seconds: float
    unreadable: tuple[str, ...]
    numbers: dict[str, float] = Field(default_factory=dict)


class Scored(_Message):
    """The scores of this process's cases, in their order; None for one that can no longer be read."""

    kind: Literal["scored"] = "scored"
    scores: list[Scores | None]


class Stopped(_Message):
    """Every process stopped at the same step, and waits for commands; one whose GPU is full stopped alone."""

    kind: Literal["stopped"] = "stopped"
    why: StopKind
    reason: str
    code: RefusalCode = RefusalCode.DECLINED
    details: tuple[str, ...] = ()


Command = Annotated[Train | Score | Cancel, Field(discriminator="kind")]
Event = Annotated[Joined | Ready | Progress | Trained | Scored | Stopped, Field(discriminator="kind")]
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
