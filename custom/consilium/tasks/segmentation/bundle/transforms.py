"""MONAI transforms and inferer of a segmentation: the same voxels as `consilium predict` has.

A bundle ships this module with those that it imports, so that it needs none of Consilium.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import InvertibleTransform, MapTransform, SaveImaged
from monai.utils import TraceKeys
from numpy.typing import NDArray
from torch import Tensor

from consilium.tasks.segmentation.bundle.cases import case_name
from consilium.tasks.segmentation.nifti.writing import encode_nifti
from consilium.tasks.segmentation.orientation import (
    crop_slices,
    orientation_of,
    require_extent,
    spacing_ras,
    to_file_axes,
    to_ras,
)
from consilium.tasks.segmentation.preparation.foreground import anatomy_box
from consilium.tasks.segmentation.resampling import grid_shape, resample, to_half
from consilium.tasks.segmentation.windows import slide_windows


class Intensities(Protocol):
    """How intensities are read."""

    def foreground(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where an image shows anatomy."""

    def normalize(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the network sees of a crop."""


class PrepareVolumed(MapTransform, InvertibleTransform):  # type: ignore[misc]
    """Turn images to RAS, crop them to the anatomy, normalize and resample them; the inverse leads back.

    MONAI has no twin of these steps: the anatomy's box leaves out stray voxels, outliers count for no mean,
    and voxels are averaged where resampling would skip some.

    Args:
        keys: Images `(C, I, J, K)` in the file's axis order, with their affine, as `LoadImaged` gives them.
        spacing_mm: Voxel size along R, A and S.
        normalization: How intensities are read.
        may_lack: Whether an image of zeros stands for one that the case lacks; it stays 0.
        allow_missing_keys: Whether keys may be missing.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing_mm: Sequence[float],
        normalization: Intensities,
        may_lack: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        x, y, z = (float(size) for size in spacing_mm)
        self.spacing_mm = (x, y, z)
        self.normalization = normalization
        self.may_lack = may_lack

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Prepare each image, `(C, X, Y, Z)` float32."""
        done = dict(data)
        for key in self.key_iterator(done):
            done[key] = self._prepare(done[key])
        return done

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring maps back to the voxels of the file, such as probabilities; they are 0 outside the crop."""
        done = dict(data)
        for key in self.key_iterator(done):
            done[key] = self._restore(done[key])
        return done

    def _prepare(self, image: MetaTensor) -> MetaTensor:
        affine = np.asarray(image.affine, dtype=np.float64)
        orientation, native = orientation_of(affine), spacing_ras(affine)
        channels = [to_ras(channel, orientation) for channel in image.numpy()]
        marked = reduce(np.logical_or, (self.normalization.foreground(channel) for channel in channels))
        start, stop = anatomy_box(marked, None, native)
        require_extent(start, stop, native)
        crop = crop_slices(start, stop)
        shape = grid_shape(start, stop, native, self.spacing_mm)
        prepared = torch.cat(
            [
                resample(torch.from_numpy(self._normalize(channel[crop].copy()))[None], shape)
                for channel in channels
            ]
        )
        info = {
            "start": list(start),
            "stop": list(stop),
            "orientation": orientation,
            "shape": list(image.shape[1:]),
        }
        result = MetaTensor(
            to_half(prepared).float(), meta=dict(image.meta), applied_operations=image.applied_operations
        )
        self.push_transform(result, extra_info=info)
        return result

    def _normalize(self, channel: NDArray[Any]) -> NDArray[np.float32]:
        if self.may_lack and not channel.any():
            return np.zeros(channel.shape, dtype=np.float32)
        return self.normalization.normalize(channel)

    def _restore(self, maps: MetaTensor) -> MetaTensor:
        info = self.pop_transform(maps)[TraceKeys.EXTRA_INFO]
        start, stop, shape = (tuple(int(one) for one in info[name]) for name in ("start", "stop", "shape"))
        crop = tuple(last - first for first, last in zip(start, stop, strict=True))
        native = resample(maps.as_tensor().cpu(), crop)
        full = [to_file_axes(one.numpy(), start, stop, info["orientation"], shape) for one in native]  # type: ignore[arg-type]
        return MetaTensor(
            torch.from_numpy(np.stack(full)),
            meta=dict(maps.meta),
            applied_operations=maps.applied_operations,
        )


class AnatomyWindowInferer(Inferer):  # type: ignore[misc]
    """Slides windows over the anatomy, as few as hold it.

    Args:
        roi_size: Voxels of a window: those of the patches that the network was trained on.
        overlap: Least share of a window that the next one shares with it.
        mirror: Whether to average over all eight mirrored inputs.
    """

    def __init__(self, roi_size: Sequence[int], overlap: float, mirror: bool = False) -> None:
        super().__init__()
        self.roi_size, self.overlap, self.mirror = tuple(roi_size), overlap, mirror

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return the logits of one case, `(1, R, X, Y, Z)`."""
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        return slide_windows(network, plain, size=self.roi_size, overlap=self.overlap, mirror=self.mirror)


class PaintLabelsd(MapTransform):  # type: ignore[misc]
    """Make one label map of the regions' probabilities.

    Args:
        keys: Probabilities `(R, ...)`.
        order: Region and label value, painted one over the other.
        allow_missing_keys: Whether keys may be missing.
    """

    def __init__(
        self, keys: KeysCollection, order: Sequence[Sequence[int]], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.order = order

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Paint the label map, `(1, ...)` uint8."""
        done = dict(data)
        for key in self.key_iterator(done):
            label = torch.zeros_like(done[key][:1], dtype=torch.uint8)
            for region, value in self.order:
                label[done[key][region : region + 1] > 0.5] = value
            done[key] = label
        return done


class SplitLabelsd(MapTransform):  # type: ignore[misc]
    """Make the regions of a label map.

    Args:
        keys: Label maps `(1, ...)`.
        values: The label values of each region.
        allow_missing_keys: Whether keys may be missing.
    """

    def __init__(
        self, keys: KeysCollection, values: Sequence[Sequence[int]], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.values = values

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Split each label map, `(R, ...)` float32.

        Raises:
            ValueError: A label map has a value of no region.
        """
        done = dict(data)
        known = {0, *(value for values in self.values for value in values)}
        for key in self.key_iterator(done):
            label = done[key]
            if unknown := sorted(set(label.unique().tolist()) - known):
                raise ValueError(
                    f"a label map has the values {unknown[:5]}, which are of no region: name those of your "
                    f'labels, region by region, as in --label_values "{self.values}"'
                )
            found = [torch.isin(label, torch.tensor(values, dtype=label.dtype)) for values in self.values]
            done[key] = torch.cat(found).float()
        return done


class SaveImageAsSourced(SaveImaged):  # type: ignore[misc]
    """Write label maps with the geometry of the image that they are of: affine, qform, sform, and codes.

    MONAI's own writer fails for images whose axes are in another order, and keeps one of qform and sform.
    Readers that keep results themselves leave it out, as they do with `SaveImaged`.

    Args:
        keys: Label maps `(1, I, J, K)` on the voxels of the file.
        output_dir: Where they go, as `<case>_seg.nii.gz`.
        endings: Endings of the file, which the case's name is without.
    """

    def __init__(self, keys: KeysCollection, output_dir: str, endings: Sequence[str]) -> None:
        super().__init__(keys, output_dir=output_dir, resample=False)
        self.folder, self.endings = Path(output_dir), tuple(endings)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write each label map, and return the data as it is."""
        done = dict(data)
        for key in self.key_iterator(done):
            source = Path(done[key].meta["filename_or_obj"])
            content = encode_nifti(done[key].numpy()[0], nib.load(source).header)
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{case_name(source, self.endings)}_seg.nii.gz").write_bytes(content)
        return done
