"""Prediction of one case: from its prepared arrays to its files in the output folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.codes import DataCode
from consilium.data.files import readable
from consilium.data.finding import Finding
from consilium.learning.compute_settings import ComputeSettings
from consilium.prediction.case_work import CaseWork
from consilium.prediction.output_folder import PICTURE_ENDING, FinishedCase, OutputFolder
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks.prediction import OutputOptions

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.data.cached_case import CachedCase

_PICTURES: Final = "pictures"

_logger = logging.getLogger(__name__)


class CaseWriter(CaseWork):
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
        super().__init__(model, folder, compute, mirror=mirror)
        self._options, self._pictures = options, pictures

    @property
    def extras(self) -> tuple[str, ...]:
        """What is written beside the prediction itself."""
        wanted = {"probabilities": self._options.probabilities, _PICTURES: self._pictures}
        return tuple(name for name, asked in wanted.items() if asked)

    def write(self, case: Case, cached: CachedCase, key: str) -> Finding | None:
        """Predict one case, write its files and its line of the table; see `CaseWork.write`."""
        predictor = self.open_predictor()
        decided: Tensor | None = None
        with case_boundary(case.id, case.place, "predicted"):
            probabilities = predictor.probabilities(cached)
            output = self.task.prediction.write(probabilities, cached, self._options)
            if self._pictures:
                decided = self.task.method.decide(probabilities)
        earlier = self.folder.finished(case.id)
        if earlier is None or earlier.key != key:  # files of another model or image say something else
            self.folder.withdraw(case.id)
            earlier = None
        endings = [*output.files, *([PICTURE_ENDING] if self._pictures else [])]
        files = dict.fromkeys([*self.folder.names(case.id, endings), *(earlier.files if earlier else ())])
        finished = FinishedCase(
            id=case.id,
            key=key,
            model=self.model.digest,
            settings=self.settings,
            values=dict(output.values),
            files=tuple(files),
            extras=tuple(dict.fromkeys([*self.extras, *(earlier.extras if earlier else ())])),
        )
        self.folder.keep(finished.model_copy(update={"key": ""}))  # what a killed run leaves is known
        self.folder.write_case(case.id, output.files)
        undrawn = self._draw(case, cached, decided) if decided is not None else None
        self.folder.keep(self._without_picture(finished) if undrawn else finished)
        self.folder.write_table(self.task.prediction.columns)
        return undrawn

    def dependencies(self) -> tuple[object, ...]:
        """Return the convention of written targets."""
        return (self._options.convention,)

    def describe(self) -> dict[str, Any]:
        """Return also what values in files mean; see `CaseWork.describe`."""
        convention = self._options.convention
        return {
            **super().describe(),
            "label_convention": convention,
            "values": dict(self.task.prediction.meaning(convention)),
        }

    def _without_picture(self, finished: FinishedCase) -> FinishedCase:
        """The same case, complete but for its picture, which the next run with pictures draws."""
        picture = self.folder.picture(finished.id).name
        files = tuple(name for name in finished.files if name != picture)
        extras = tuple(name for name in finished.extras if name != _PICTURES)
        return finished.model_copy(update={"files": files, "extras": extras})

    def _draw(self, case: Case, cached: CachedCase, decided: Tensor) -> Finding | None:
        """Draw a case; returns a finding where its picture can't be drawn: the prediction is good without.

        Raises:
            OSError: The picture can't be written, as the other files can't.
        """
        presentation = self.task.presentation
        if presentation is None:
            return None
        path = self.folder.picture(case.id)
        half = path.with_name(f".{path.name}.png")
        try:
            presentation.draw(cached, decided, half, title="Prediction, not for clinical use")
            half.replace(path)
        except OSError:
            raise
        except Exception as error:  # whatever a drawing raises, this case's and all others' results stay
            path.unlink(missing_ok=True)  # one that an earlier run drew
            _logger.exception("case %s can't be drawn", readable(case.id))
            detail = f"{case.place} can't be drawn: {type(error).__name__}: {error}."
            return Finding(case_id=case.id, code=DataCode.NO_PICTURE, detail=detail)
        finally:
            half.unlink(missing_ok=True)
        return None
