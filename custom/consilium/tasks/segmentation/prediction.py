"""Prediction of new cases of a segmentation: label maps, probabilities and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from consilium.tasks.prediction import CaseOutput, OutputOptions
from consilium.tasks.segmentation.labels import Labels
from consilium.tasks.segmentation.regions import Region, join_regions, own_values, to_regions
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings

if TYPE_CHECKING:
    import nibabel as nib
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from consilium.data.cached_case import CachedCase
    from consilium.tasks.segmentation.volume_case import VolumeCase

LABEL_ENDING: Final = "_seg.nii.gz"
"""Of the file with the label map."""

_STEPS: Final = 65535
"""Probabilities are stored as numbers of 16 bits."""


class SegmentationPrediction:
    """A `Prediction` of regions: a label map on the voxels of the case's first image, and mL per region.

    Args:
        regions: What is segmented, in the network's order.
        labels: What values of label files mean.
        preferred: The convention to write by default; None for the problem's first.
    """

    version: int = 1

    def __init__(self, regions: Sequence[Region], labels: Labels, preferred: str | None = None) -> None:
        self._regions = tuple(regions)
        self._labels = labels
        self._preferred = preferred

    @property
    def conventions(self) -> tuple[str, ...]:
        """The conventions of label files, the default first."""
        known = self._labels.conventions
        first = () if self._preferred is None else (self._preferred,)
        return (*first, *(name for name in known if name not in first))

    @property
    def columns(self) -> tuple[str, ...]:
        """The volume of each region in mL."""
        return tuple(f"{region.name}_ml" for region in self._regions)

    def meaning(self, convention: str | None) -> Mapping[str, Any]:
        """Return the values of each region in a label file."""
        values = self._file_values(convention)
        return {
            region.name: sorted({values[one] for one in region.values if one in values})
            for region in self._regions
        }

    def painting(self, convention: str | None) -> list[tuple[int, int]]:
        """Return each region's place and value in a label file, in the order in which they are painted.

        Painted one over the other, they are what `join_regions` makes of regions.
        """
        values = self._file_values(convention)
        return [(place, values[own]) for place, own in own_values(self._regions)]

    def infer(
        self, network: nn.Module, inputs: Tensor, settings: SegmentationSettings, *, mirror: bool
    ) -> Tensor:
        """Slide windows over the anatomy; returns logits `(1, R, X, Y, Z)` on the task grid."""
        from consilium.tasks.segmentation.windows import slide_windows

        return slide_windows(
            network, inputs, size=settings.patch_voxels, overlap=settings.window_overlap, mirror=mirror
        )

    def write(self, probabilities: Tensor, case: CachedCase, options: OutputOptions) -> CaseOutput:
        """Make the label map, and a map of each region's probability where they are asked for.

        Regions become one label map (see `join_regions`), and volumes are those of its regions: table and
        file agree.

        Args:
            probabilities: `(R, X, Y, Z)` on the native crop.
            case: The case.
            options: What a user asked for.

        Raises:
            CaseError: The first image of the case is gone, or has moved.
        """
        import numpy as np

        from consilium.tasks.segmentation.nifti.writing import encode_nifti
        from consilium.tasks.segmentation.volume_case import VolumeCase

        volume = VolumeCase.of(case)
        header = _header_of(volume)
        found = join_regions(probabilities > 0.5, self._regions)
        table = np.zeros(256, dtype=np.uint8)
        for value, in_file in self._file_values(options.convention).items():
            table[value] = in_file
        to_file = volume.geometry.to_file_grid
        files = {LABEL_ENDING: encode_nifti(to_file(table[found.numpy()]), header)}
        if options.probabilities:
            files |= {
                f"_{region.name}_probability.nii.gz": encode_nifti(
                    to_file(_stored(of_region)), header, slope=1 / _STEPS
                )
                for region, of_region in zip(self._regions, probabilities, strict=True)
            }
        voxel_ml = abs(float(np.linalg.det(np.array(volume.geometry.file_affine)[:3, :3]))) / 1000
        return CaseOutput(
            {
                column: round(int(mask.sum()) * voxel_ml, 3)
                for column, mask in zip(self.columns, to_regions(found, self._regions), strict=True)
            },
            files,
        )

    def _file_values(self, convention: str | None) -> Mapping[int, int]:
        """Class to value in a file; of several values of one class the lowest."""
        values = self._labels.values(convention)
        return {meant: value for value, meant in sorted(values.items(), reverse=True)}


def _header_of(volume: VolumeCase) -> nib.Nifti1Header:
    """The header of the case's first image, which positions the prediction in space."""
    import numpy as np

    from consilium.data.case import CaseError
    from consilium.data.codes import DataCode
    from consilium.data.finding import Finding
    from consilium.tasks.segmentation.nifti.header import affine_of, shape_of
    from consilium.tasks.segmentation.nifti.reading import read_header

    if volume.origin is None:
        raise ValueError("a case without its files has no place in space")
    path = next(iter(volume.origin.case.images.values())).path
    header = read_header(path, case_id=volume.id)
    geometry = volume.geometry
    if shape_of(header)[:3] != geometry.file_shape or not np.array_equal(
        affine_of(header), np.array(geometry.file_affine)
    ):
        detail = f"{path} is another image now than the one that was predicted."
        raise CaseError(Finding(case_id=volume.id, code=DataCode.UNREADABLE, detail=detail))
    return header


def _stored(probability: Tensor) -> NDArray[np.uint16]:
    """Probabilities as numbers of 16 bits, with the same voxels above a half."""
    import numpy as np

    half = _STEPS // 2
    values = np.rint(probability.numpy() * _STEPS)
    inside = probability.numpy() > 0.5
    stored: NDArray[np.uint16] = np.where(inside, np.maximum(values, half + 1), np.minimum(values, half))
    return stored.astype(np.uint16)
