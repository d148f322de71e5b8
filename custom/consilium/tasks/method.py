"""Method of a task: its networks, loss, samples, inference, and what they need of a machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from consilium.data.cached_case import CachedCase
    from consilium.data.case import Case
    from consilium.data.checks import CheckedCohort
    from consilium.tasks.proposals import Choice, Fingerprint


@dataclass(frozen=True, slots=True)
class BatchShare:
    """The rows of every batch that one process computes.

    The batch is the job's, whatever the number of processes. Every process draws all of a batch's random
    numbers and uses those of its own rows, so that the rows of all processes together are the batch that one
    process would compute.

    Attributes:
        batch_size: N, the rows of the whole batch.
        rank: Which process this is, from 0.
        world_size: How many there are, at most N.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size <= self.batch_size:
            raise ValueError(
                f"process {self.rank} of {self.world_size} has no row in a batch of {self.batch_size}"
            )

    @property
    def rows(self) -> slice:
        """This process's rows; no two processes differ by more than one."""
        first, last = (self.batch_size * rank // self.world_size for rank in (self.rank, self.rank + 1))
        return slice(first, last)

    @property
    def size(self) -> int:
        """How many rows this process takes."""
        size: int = self.rows.stop - self.rows.start
        return size

    @property
    def weight(self) -> float:
        """Part of the batch that the rows are, 0 to 1: what their mean counts for in the batch's mean."""
        return self.size / self.batch_size


class Sampler(Protocol):
    """Draws training samples from cases, in a loader's worker processes: it must be picklable."""

    def place(self, case: CachedCase, random: np.random.Generator) -> Any:
        """Draw what the next sample of a case is to be, such as the position and flips of a patch.

        It is called for the samples of the other processes' rows as well, so it should read no image.
        """

    def cut(self, case: CachedCase, placement: Any) -> tuple[Tensor, Tensor]:
        """Read a sample from the disk.

        Args:
            case: The case.
            placement: From `place`.

        Returns:
            The input and what is to be learned from it, without a batch dimension. Both are as small as can
            be, since they are sent between processes: the input becomes float32 on the device, and
            `Method.encode_targets` turns the other into what the loss takes.
        """


SettingsT_contra = TypeVar("SettingsT_contra", contravariant=True)


class Method(Protocol[SettingsT_contra]):
    """Learning method of a task; settings are always an instance of the task's `settings_type`."""

    def build_network(self, settings: SettingsT_contra) -> nn.Module:
        """Build the network that the settings name, randomly initialized: inputs `(N, ...)` to logits."""

    def build_loss(self, settings: SettingsT_contra) -> nn.Module:
        """Build the loss: float32 logits and encoded targets of a batch to a scalar, their mean."""

    def sampler(self, settings: SettingsT_contra) -> Sampler:
        """Return what draws training samples."""

    def augment(
        self, inputs: Tensor, share: BatchShare, generator: torch.Generator, settings: SettingsT_contra
    ) -> Tensor:
        """Change a batch of inputs at random, on the device.

        Args:
            inputs: `(N, ...)`, float32; may be changed in place.
            share: The rows of the batch that the inputs are; draw for the whole batch, use these rows.
            generator: On the CPU, whatever the device of the inputs: the draw is then the same everywhere.
            settings: What the job decides.
        """

    def encode_targets(self, targets: Tensor) -> Tensor:
        """Turn a batch of targets, as a sampler made them, into what the loss takes, on their device."""

    def read_inputs(self, case: CachedCase) -> Tensor:
        """Read what is predicted from: one case as a batch `(1, ...)`, float32."""

    def infer(self, network: nn.Module, inputs: Tensor, settings: SettingsT_contra) -> Tensor:
        """Run a network on a whole case, `(1, ...)`, on the device of the inputs; returns logits `(1, ...)`.

        It is called in inference mode and with the device's precision.
        """

    def interpret(self, logits: Tensor, case: CachedCase) -> Tensor:
        """Turn the float32 logits of a case `(...)` into its probabilities, on the CPU.

        Volumes come back on the voxels of the case's file, so that they can be compared with what was drawn.
        """

    def decide(self, probabilities: Tensor) -> Tensor:
        """Turn the probabilities of a case into the prediction that is evaluated and shown."""

    def example_batch(self, settings: SettingsT_contra) -> tuple[Tensor, Tensor]:
        """Return inputs and encoded targets with the shapes of a batch, empty, on torch's default device."""

    def sample_bytes(self, settings: SettingsT_contra) -> int:
        """Return the bytes of a sample as a sampler hands it over."""

    def propose(
        self,
        fingerprint: Fingerprint,
        settings: SettingsT_contra,
        step_bytes: Callable[[Any], int],
    ) -> Sequence[Choice]:
        """Propose settings that suit the hospitals' data and machines, each with its reason.

        Args:
            fingerprint: The hospitals.
            settings: What the job has by itself; its network stays.
            step_bytes: Estimates the GPU memory that a training step with some settings takes.

        Raises:
            ConfigurationError: If too little is known about the data.
        """

    def prepared_bytes(self, case: Case, settings: SettingsT_contra, checked: CheckedCohort | None) -> int:
        """Estimate the bytes of a prepared case from above; 0 for one that can't be read.

        Args:
            case: The case.
            settings: What the job decides.
            checked: Knows the sizes of cases that were checked, so that no file needs to be read.
        """
