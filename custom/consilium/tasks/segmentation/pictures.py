"""Pictures of one patient in radiological convention: images, reference and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from consilium.data.cached_case import CachedCase
from consilium.data.files import private_folder, private_opener
from consilium.tasks.presentation import SCREEN, TARGET_COLORS, Medium
from consilium.tasks.segmentation.orientation import Shape3D, Spacing3D
from consilium.tasks.segmentation.regions import Region, to_regions
from consilium.tasks.segmentation.volume_case import VolumeCase

_SCALE_BAR_MM = 50
_MARGIN_MM = 12.0
"""Left and right of a slice, for the letters of its sides."""


def render_patient(
    case: CachedCase,
    prediction: Tensor,
    regions: Sequence[Region],
    path: Path,
    *,
    shown: Mapping[int, str],
    title: str,
    medium: Medium = SCREEN,
    outside: float | None = 0.0,
) -> None:
    """Draw images of one patient: alone, with the reference, with the prediction, in other planes.

    Slices are in radiological orientation: the patient's right is on the left. Images are those that the
    network sees, brought back from its grid; regions are drawn on the original voxels.

    Args:
        case: The patient.
        prediction: Booleans on the native crop, `(R, X, Y, Z)`.
        regions: The R regions; an inner one is drawn over an outer one.
        path: The PNG to write. It holds no metadata.
        shown: The channels to show, one or two, each with its title.
        title: Drawn on top; the caller keeps the patient's id out of it.
        medium: What for.
        outside: Value around the body, which is drawn as background; None for none.

    Raises:
        ValueError: If the prediction is not on the case's native crop.
    """
    volumes = VolumeCase.of(case)
    expected = (len(regions), *volumes.geometry.crop_shape)
    if tuple(prediction.shape) != expected:
        raise ValueError(f"prediction has the shape {tuple(prediction.shape)}, not {expected}")
    images = _windowed(case, shown, medium.background, outside)
    found = prediction.numpy()
    reference = (
        None
        if volumes.reference is None
        else to_regions(torch.from_numpy(volumes.reference.copy()), regions).numpy()
    )
    center = _center_of_regions(found if reference is None or not reference.any() else reference)
    planes = (_CORONAL, _SAGITTAL) if len(images) == 1 else (_CORONAL,)
    panels = [("Image", None, None), ("Reference", reference, None), ("Model", None, found)]
    if reference is None:
        del panels[1]
    columns = len(panels) + len(planes)
    figure = Figure(figsize=(12.0, 3.8 * len(images) if len(images) > 1 else 3.4), facecolor=medium.paper)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(images),
        columns,
        left=0.028,
        right=0.995,
        top=0.88 if len(images) > 1 else 0.76,
        bottom=0.055 if len(images) > 1 else 0.11,
        wspace=0.03,
        hspace=0.04,
    )
    spacing = VolumeCase.of(case).geometry.native_spacing_mm
    for row, (name, image) in enumerate(images):
        for column, (heading, lines, fills) in enumerate(panels):
            axes = figure.add_subplot(grid[row, column])
            _draw(axes, _AXIAL, center, spacing, image, medium, lines=lines, fills=fills)
            if column == 0:
                axes.set_ylabel(name, color=medium.text, fontsize=12)
            if row == 0:
                axes.set_title(heading, color=medium.text, fontsize=12)
        for place, other in enumerate(planes if len(images) == 1 else ((_CORONAL, _SAGITTAL)[row],)):
            axes = figure.add_subplot(grid[row, len(panels) + place])
            _draw(axes, other, center, spacing, image, medium, lines=reference, fills=found)
            what = "both" if reference is not None else "model"
            axes.set_title(f"{other.name}, {name}: {what}", color=medium.text, fontsize=12)
    _add_scale_bar(figure.axes[0], medium)
    _add_legend(figure, regions, title, medium, reference=reference is not None)
    private_folder(path.parent, ours=False)
    with open(path, "wb", opener=private_opener) as file:
        figure.savefig(file, dpi=medium.dots_per_inch, facecolor=medium.paper, metadata={"Software": None})


@dataclass(frozen=True)
class _Plane:
    """A way to cut a RAS volume and hang the slice.

    Attributes:
        name: For people.
        axis: The axis that is cut.
        across: The axis from side to side.
        up: The axis from bottom to top.
        sides: Letters on the left and on the right.
    """

    name: str
    axis: int
    across: int
    up: int
    sides: tuple[str, str]

    def take(self, volume: NDArray[Any], center: Shape3D) -> NDArray[Any]:
        """The slice through a voxel as it is hung: rows from bottom to top, columns against R or A."""
        rows: NDArray[Any] = volume.take(center[self.axis], axis=self.axis).T[:, ::-1]
        return rows


_AXIAL = _Plane("Axial", axis=2, across=0, up=1, sides=("R", "L"))
_CORONAL = _Plane("Coronal", axis=1, across=0, up=2, sides=("R", "L"))
_SAGITTAL = _Plane("Sagittal", axis=0, across=1, up=2, sides=("A", "P"))


def _windowed(
    case: CachedCase, shown: Mapping[int, str], background: int, outside: float | None
) -> list[tuple[str, NDArray[np.float32]]]:
    """The images to show on the native crop, gray values 0 to 1, in front of a background."""
    channels = np.asarray(VolumeCase.of(case).image[list(shown)], dtype=np.float32)
    for channel in channels:
        inside = np.ones(channel.shape, dtype=bool) if outside is None else channel != outside
        low, high = np.percentile(channel[inside], (1, 99.7)) if inside.any() else (0.0, 1.0)
        if high > low:
            channel[...] = np.where(inside, np.clip((channel - low) / (high - low), 0, 1), background)
        else:  # an image of one value
            channel[...] = np.where(inside, 0.5, background)
    native: NDArray[np.float32] = (
        VolumeCase.of(case).geometry.to_native_crop(torch.from_numpy(channels)).numpy()
    )
    return list(zip(shown.values(), native, strict=True))


def _center_of_regions(masks: NDArray[np.bool_]) -> Shape3D:
    """The voxel whose three slices hold the most of all regions each; the middle when there is none."""
    any_region = masks.any(axis=0)
    if not any_region.any():
        x, y, z = (size // 2 for size in any_region.shape)
        return x, y, z
    z = int(any_region.sum(axis=(0, 1)).argmax())
    return int(any_region.sum(axis=(1, 2)).argmax()), int(any_region.sum(axis=(0, 2)).argmax()), z


def _draw(
    axes: Any,
    plane: _Plane,
    center: Shape3D,
    spacing: Spacing3D,
    image: NDArray[np.float32],
    medium: Medium,
    *,
    lines: NDArray[np.bool_] | None,
    fills: NDArray[np.bool_] | None,
) -> None:
    gray = plane.take(image, center)
    width, height = gray.shape[1] * spacing[plane.across], gray.shape[0] * spacing[plane.up]
    extent = (0.0, width, 0.0, height)
    axes.imshow(gray, cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent, interpolation="bilinear")
    if fills is not None:
        axes.imshow(_paint(plane, center, fills), origin="lower", extent=extent, interpolation="nearest")
    if lines is not None:
        for region, color in _outer_first(lines):
            # Without this margin a contour that touches the crop's edge would stay open.
            mask = np.pad(plane.take(region, center).astype(np.float32), 1)
            if mask.any():
                x = (np.arange(mask.shape[1]) - 0.5) * spacing[plane.across]
                y = (np.arange(mask.shape[0]) - 0.5) * spacing[plane.up]
                axes.contour(x, y, mask, levels=[0.5], colors=[color], linewidths=1.3)
    axes.set(
        xlim=(-_MARGIN_MM, width + _MARGIN_MM), ylim=(0, height), xticks=[], yticks=[], facecolor=medium.paper
    )
    axes.spines[:].set_visible(False)
    for x, side in zip((-_MARGIN_MM / 2, width + _MARGIN_MM / 2), plane.sides, strict=True):
        axes.text(x, height / 2, side, color=medium.faint, fontsize=11, ha="center", va="center")


def _paint(plane: _Plane, center: Shape3D, masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The regions as one translucent picture, RGBA, an inner region over an outer one."""
    slices = [(plane.take(mask, center), color) for mask, color in _outer_first(masks)]
    painted = np.zeros((*slices[0][0].shape, 4), dtype=np.float32)
    for mask, color in slices:
        painted[mask] = (*to_rgb(color), 0.55)
    return painted


def _outer_first(masks: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], str]]:
    """Regions with their colors, the largest first: nested regions would hide each other otherwise."""
    colored = [(mask, TARGET_COLORS[place % len(TARGET_COLORS)]) for place, mask in enumerate(masks)]
    return sorted(colored, key=lambda pair: -int(pair[0].sum()))


def _add_scale_bar(axes: Any, medium: Medium) -> None:
    left, bottom = 0.0, 4.0
    ends = [left, left + _SCALE_BAR_MM]
    axes.plot(ends, [bottom, bottom], color=medium.text, linewidth=2, solid_capstyle="butt")
    axes.text(left, bottom + 2, f"{_SCALE_BAR_MM // 10} cm", color=medium.text, fontsize=9, va="bottom")


def _add_legend(
    figure: Any, regions: Sequence[Region], title: str, medium: Medium, *, reference: bool
) -> None:
    figure.text(0.028, 0.96, title, color=medium.text, fontsize=15, va="center")
    colors = [TARGET_COLORS[place % len(TARGET_COLORS)] for place in range(len(regions))]
    handles = [
        Line2D([], [], color=color, linewidth=6, label=f"{region.title} ({region.name.upper()})")
        for region, color in zip(regions, colors, strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.018, 0.0),
        ncols=len(handles),
        frameon=False,
        labelcolor=medium.text,
        fontsize=11,
        handlelength=1.2,
    )
    parts = [*(["lines: reference"] if reference else []), "filled: model", "R: the patient's right"]
    note = "   ·   ".join(parts)
    figure.text(0.995, 0.027, note, color=medium.faint, fontsize=10, ha="right", va="center")
