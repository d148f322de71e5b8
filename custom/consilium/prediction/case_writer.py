"""Prediction of one case: from its prepared arrays to its files in the output folder."""

from __future__ import annotations

import hashlib
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.sources import CaseReader, SourceIndex
from consilium.learning.compute_settings import ComputeSettings
from consilium.prediction.output_folder import FinishedCase, OutputFolder
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks.prediction import OutputOptions

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.data.cached_case import CachedCase
    from consilium.learning.predictor import Predictor


class CaseWriter:
    """Predicts prepared cases and writes what their task makes of them.

    Args:
        model: The model.
        folder: Where files go.
        options: What is written.
        compute: The machine's part.
        mirror: Whether to average over mirrored inputs.
        pictures: Whether to draw each case.
    """

    def __init__(
        self,
        model: TrainedModel,
        folder: OutputFolder,
        options: OutputOptions,
        compute: ComputeSettings,
        *,
        mirror: bool,
        pictures: bool,
    ) -> None:
        self._model, self._folder, self._options = model, folder, options
        self._compute, self._mirror, self._pictures = compute, mirror, pictures
        self._task = model.task
        self._predictor: Predictor | None = None

    @property
    def extras(self) -> tuple[str, ...]:
        """What is written beside the prediction itself."""
        wanted = {"probabilities": self._options.probabilities, "pictures": self._pictures}
        return tuple(name for name, asked in wanted.items() if asked)

    def write(self, case: Case, cached: CachedCase, key: str) -> None:
        """Predict one case and write its files; the case is then finished.

        Args:
            case: The case.
            cached: What was prepared of it.
            key: Its key, see `key`.

        Raises:
            CaseError: It can't be predicted.
            OSError: A file can't be written.
        """
        predictor = self._open_predictor()
        decided: Tensor | None = None
        with case_boundary(case.id, case.place, "predicted"):
            probabilities = predictor.probabilities(cached)
            output = self._task.prediction.write(probabilities, cached, self._options)
            if self._pictures:
                decided = self._task.method.decide(probabilities)
        self._folder.forget(case.id)
        files = self._folder.write_case(case.id, output.files)
        if decided is not None:
            files += self._draw(case, cached, decided)
        self._folder.keep(
            FinishedCase(
                id=case.id,
                key=key,
                model=self._model.digest,
                values=dict(output.values),
                files=files,
                extras=self.extras,
            )
        )

    def key(self, case: Case, index: SourceIndex) -> str:
        """Return the hash of all that the prediction of a case depends on.

        Args:
            case: The case.
            index: What is known of its files.

        Raises:
            CaseError: A file can't be read.
        """
        case_format = self._task.cases
        files = CaseReader(case, index.recall(case)).key(None, case_format.name)
        preparation = case_format.preparation(self._model.learning)
        parts = (
            files,
            self._model.digest,
            self._task.prediction.version,
            preparation.fingerprint(),
            self._mirror,
            self._options.convention,
        )
        return hashlib.blake2b(repr(parts).encode(), digest_size=20).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return what is predicted with, as JSON values; nothing of a patient."""
        return {
            "not_for": "clinical use",
            "task": self._task.name,
            "model": {"sha256": self._model.digest, "round": self._model.round},
            "trained_with": self._model.learning.model_dump(mode="json"),
            "label_convention": self._options.convention,
            "values": dict(self._task.prediction.meaning(self._options.convention)),
            "mirrored": self._mirror,
            "consilium": version("consilium"),
        }

    def _draw(self, case: Case, cached: CachedCase, decided: Tensor) -> tuple[str, ...]:
        presentation = self._task.presentation
        if presentation is None:
            return ()
        path = self._folder.picture(case.id)
        half = path.with_name(f".{path.name}.png")
        try:
            presentation.draw(cached, decided, half, title="Prediction, not for clinical use")
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        return (path.name,)

    def _open_predictor(self) -> Predictor:
        """Build the network once there is something to predict."""
        if self._predictor is None:
            from consilium.learning.device import open_device
            from consilium.learning.predictor import Predictor

            infer = partial(self._task.prediction.infer, settings=self._model.learning, mirror=self._mirror)
            self._predictor = Predictor(
                self._task,
                self._model.learning,
                self._model.weights,
                open_device(self._compute),
                inference=infer,
            )
        return self._predictor
