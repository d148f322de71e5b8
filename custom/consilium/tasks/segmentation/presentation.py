"""Presentation of a segmentation: slices with contours of reference and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consilium.tasks.presentation import SCREEN, Medium, Presentation
from consilium.tasks.segmentation.regions import Region

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.data.cached_case import CachedCase

_MOST_SHOWN: Final = 2
"""Images of a case that are shown: more would be too small to see anything."""


class SlicePresentation(Presentation):
    """Shows one or two images of a case in three planes; torch and matplotlib load when one is drawn.

    Args:
        inputs: The task's, in the order of the images' channels.
        regions: What is segmented.
        preferred: The inputs to show; the first ones replace those that the task lacks.
        titles: Name of an input -> its title; default: the name in capitals.
        outside: Value around the body in prepared images; None where all of an image is shown.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        regions: Sequence[Region],
        *,
        preferred: Sequence[str] = (),
        titles: Mapping[str, str] | None = None,
        outside: float | None = 0.0,
    ) -> None:
        ranked = [*(name for name in preferred if name in inputs), *inputs]
        self._shown = {
            inputs.index(name): (titles or {}).get(name, name.upper())
            for name in list(dict.fromkeys(ranked))[:_MOST_SHOWN]
        }
        self._regions = tuple(regions)
        self._outside = outside

    @property
    def content(self) -> str:
        """Which images are shown, and what is drawn on them."""
        shown = " and ".join(self._shown.values())
        return f"{shown} slices of {{patient}}, with the reference and the regions that the model found."

    @property
    def about(self) -> str:
        """On which grids images and regions are."""
        return (
            "Images are those that the network sees, brought back from its grid; regions are on the original "
            "voxels."
        )

    def draw(
        self, case: CachedCase, prediction: Tensor, path: Path, *, title: str, medium: Medium = SCREEN
    ) -> None:
        """Draw a case; see `render_patient`.

        Raises:
            ValueError: If the prediction is not on the case's native crop.
        """
        from consilium.tasks.segmentation.pictures import render_patient

        render_patient(
            case,
            prediction,
            self._regions,
            path,
            shown=self._shown,
            title=title,
            medium=medium,
            outside=self._outside,
        )
