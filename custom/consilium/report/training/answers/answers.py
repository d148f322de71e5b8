"""The three answers of a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from consilium.report.training.answers.answer import Answer
from consilium.report.training.answers.gain import answer_gain
from consilium.report.training.answers.service import answer_service
from consilium.report.training.answers.trust import answer_trust
from consilium.report.training.study import StudyReport


@dataclass(frozen=True)
class ReportAnswers:
    """The three answers, as page and PDF have them.

    Attributes:
        gain: What each hospital gains against training alone.
        service: Whom the model serves worst.
        trust: What the numbers are of, and what is missing.
    """

    gain: Answer
    service: Answer
    trust: Answer

    @classmethod
    def of(cls, report: StudyReport) -> ReportAnswers:
        """Answer the questions by a study's numbers."""
        return cls(answer_gain(report), answer_service(report), answer_trust(report))

    def __iter__(self) -> Iterator[Answer]:
        """Yield them in their order."""
        yield from (self.gain, self.service, self.trust)
