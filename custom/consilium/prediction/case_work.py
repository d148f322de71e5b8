"""Base of what is done with each case of a run: prediction or evaluation with one model."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from consilium.data.case import Case
from consilium.data.finding import Finding
from consilium.data.sources import CaseReader, SourceIndex
from consilium.learning.compute_settings import ComputeSettings
from consilium.prediction.output_folder import OutputFolder
from consilium.prediction.trained_model import TrainedModel

if TYPE_CHECKING:
    from consilium.data.cached_case import CachedCase
    from consilium.learning.predictor import Predictor


class CaseWork(ABC):
    """What a run does with each prepared case, and what the result depends on.

    Args:
        model: The model.
        folder: Where results go.
        compute: The machine's part.
        mirror: Whether to average over mirrored inputs.
    """

    def __init__(
        self, model: TrainedModel, folder: OutputFolder, compute: ComputeSettings, *, mirror: bool
    ) -> None:
        self.model, self.folder, self.task = model, folder, model.task
        self._compute, self._mirror = compute, mirror
        self._predictor: Predictor | None = None

    @property
    def extras(self) -> tuple[str, ...]:
        """What is written beside the result itself."""
        return ()

    @abstractmethod
    def write(self, case: Case, cached: CachedCase, key: str) -> Finding | None:
        """Process one case and keep its result; the case is then finished.

        Args:
            case: The case.
            cached: What was prepared of it.
            key: Its key, see `key`.

        Returns:
            What is missing beside the result, such as a picture; None where nothing is.

        Raises:
            CaseError: It can't be processed.
            OSError: A file can't be written.
        """

    @abstractmethod
    def dependencies(self) -> tuple[object, ...]:
        """What a result depends on beside files, model and preparation; it is printed into the key."""

    def key(self, case: Case, convention: str | None, index: SourceIndex) -> str:
        """Return the hash of all that the result of a case depends on.

        Args:
            case: The case.
            convention: What its target means; None without a target.
            index: What is known of its files.

        Raises:
            CaseError: A file can't be read.
        """
        files = CaseReader(case, index.recall(case)).key(convention, self.task.cases.name)
        return _digest(files, self.settings)

    @cached_property
    def settings(self) -> str:
        """The hash of the model and of all settings that results depend on, whatever the case."""
        return _digest(
            self.model.digest,
            self.task.prediction.version,
            self.task.cases.preparation(self.model.learning).fingerprint(),
            self._mirror,
            *self.dependencies(),
        )

    def describe(self) -> dict[str, Any]:
        """Return the model and settings, as JSON values; nothing of a patient."""
        return {
            "not_for": "clinical use",
            "task": self.task.name,
            "model": {"sha256": self.model.digest, "round": self.model.round},
            "trained_with": self.model.learning.model_dump(mode="json"),
            "mirrored": self._mirror,
            "consilium": version("consilium"),
        }

    def open_predictor(self) -> Predictor:
        """Return the network, which is built once there is something to predict."""
        if self._predictor is None:
            from consilium.learning.device import open_device
            from consilium.learning.predictor import Predictor

            infer = partial(self.task.prediction.infer, settings=self.model.learning, mirror=self._mirror)
            self._predictor = Predictor(
                self.task,
                self.model.learning,
                self.model.weights,
                open_device(self._compute),
                inference=infer,
            )
        return self._predictor


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=20).hexdigest()
