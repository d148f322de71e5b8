"""Presentation of a task: pictures of a case with a model's prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.data.cached_case import CachedCase

TARGET_COLORS: Final = ("#ffb000", "#29c7ac", "#ff4f79")
"""Of targets in pictures and curves, by their place; distinct for color-blind readers, and on gray."""


@dataclass(frozen=True)
class Medium:
    """Medium of a picture: colors and resolution.

    Attributes:
        background: Gray value around what is shown, 0 (black) or 1 (white).
        text: Color of titles.
        faint: Color of side letters and notes.
        dots_per_inch: Of the PNG, which is 12 inches wide.
    """

    background: int
    text: str
    faint: str
    dots_per_inch: int

    @property
    def paper(self) -> str:
        """The background as a color."""
        return "#ffffff" if self.background else "#000000"


SCREEN: Final = Medium(background=0, text="#f2f2f2", faint="#a8a8a8", dots_per_inch=110)
PRINT: Final = Medium(background=1, text="#1d2329", faint="#59636e", dots_per_inch=75)
"""Two of them stand side by side on a page, and black areas would cost ink."""


class Presentation(ABC):
    """A task's pictures of a patient.

    Whatever a case lacks, `draw` makes do without: a report of days of training has pictures or not, and is
    written either way.
    """

    @property
    @abstractmethod
    def content(self) -> str:
        """What a picture shows, for who can't see it: `slices of {patient}, with ...`."""

    @property
    def about(self) -> str:
        """What a reader must know of the pictures, in sentences; empty for nothing."""
        return ""

    @abstractmethod
    def draw(
        self, case: CachedCase, prediction: Tensor, path: Path, *, title: str, medium: Medium = SCREEN
    ) -> None:
        """Draw one case with its reference, if it has one, and with what a model found.

        Args:
            case: The case.
            prediction: What the task's inference returns for it.
            path: The PNG to write, readable by this account only. It holds no metadata.
            title: Drawn on top; the caller keeps the patient's id out of it.
            medium: What for.
        """
