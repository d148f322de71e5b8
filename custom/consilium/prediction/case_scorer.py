"""Evaluation of one case: its prediction, compared with its label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.prediction.case_work import CaseWork
from consilium.prediction.output_folder import FinishedCase

if TYPE_CHECKING:
    from consilium.data.cached_case import CachedCase


class CaseScorer(CaseWork):
    """Measures what a model predicts of labeled cases, as their task's `evaluation` does."""

    def write(self, case: Case, cached: CachedCase, key: str) -> None:
        """Measure one case and keep its scores; see `CaseWork.write`."""
        predictor = self.open_predictor()
        with case_boundary(case.id, case.place, "evaluated"):
            scores = self.task.evaluation.measure(predictor.predict(cached), cached)
        self.folder.keep(
            FinishedCase(
                id=case.id,
                key=key,
                model=self.model.digest,
                settings=self.settings,
                values={},
                files=(),
                scores=scores,
            )
        )

    def dependencies(self) -> tuple[object, ...]:
        """Return the version of the task's measures."""
        return ("evaluation", self.task.evaluation.version)
