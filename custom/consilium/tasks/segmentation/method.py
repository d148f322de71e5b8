"""Method of volumetric segmentation: patches, a sliding window, and regions that may overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceLoss
from torch import Tensor, nn

from consilium.data.cached_case import CachedCase
from consilium.data.case import Case, CaseError
from consilium.data.checks import CheckedCohort
from consilium.tasks.method import BatchShare
from consilium.tasks.proposals import Choice, Fingerprint
from consilium.tasks.segmentation.checks.case import volume_of
from consilium.tasks.segmentation.networks import NETWORKS
from consilium.tasks.segmentation.nifti.reading import VolumeSize, read_size
from consilium.tasks.segmentation.patches import PatchSampler
from consilium.tasks.segmentation.proposals import propose
from consilium.tasks.segmentation.regions import Region, to_regions
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.segmentation.volume_case import VolumeCase


class RegionLoss(nn.Module):
    """Dice plus binary cross-entropy for overlapping regions.

    MONAI's `DiceCELoss` takes the softmax over channels, which makes regions compete that lie in one another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=1e-5, smooth_dr=1e-5)
        self._cross_entropy = nn.BCEWithLogitsLoss()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of region logits and region targets, both `(N, R, X, Y, Z)`."""
        loss: Tensor = self._dice(logits, target) + self._cross_entropy(logits, target)
        return loss


class PartialRegionLoss(RegionLoss):
    """The loss of some regions; the logits of the others get no gradient.

    Args:
        places: Of the regions that count, among the R of logits and target.
    """

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__()
        self._places = list(places)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of region logits and region targets, both `(N, R, X, Y, Z)`."""
        return super().forward(logits[:, self._places], target[:, self._places])


class SegmentationMethod:
    """A `Method` for volumes of which a network segments regions, each a binary problem of its own.

    A problem's subclass changes what differs, such as augmentation or networks.

    Args:
        inputs: Names of the images of a case, C of them.
        regions: What is segmented, R of them.
    """

    def __init__(self, inputs: Sequence[str], regions: Sequence[Region]) -> None:
        self.inputs = tuple(inputs)
        self.regions = tuple(regions)

    def build_network(self, settings: SegmentationSettings) -> nn.Module:
        """Build the network that the settings name: images `(N, C, X, Y, Z)` to logits `(N, R, X, Y, Z)`."""
        return NETWORKS[settings.network](len(self.inputs), len(self.regions))

    def build_loss(self, settings: SegmentationSettings) -> nn.Module:
        """Build Dice plus binary cross-entropy, each region on its own."""
        return RegionLoss()

    def build_partial_loss(self, settings: SegmentationSettings, missing: Collection[str]) -> nn.Module:
        """Build the loss of the regions that a hospital's labels have."""
        return PartialRegionLoss(
            [place for place, region in enumerate(self.regions) if region.name not in missing]
        )

    def sampler(self, settings: SegmentationSettings) -> PatchSampler:
        """Return what cuts patches."""
        return PatchSampler(settings.patch_voxels, settings.foreground_share)

    def augment(
        self,
        inputs: Tensor,
        share: BatchShare,
        generator: torch.Generator,
        settings: SegmentationSettings,
    ) -> Tensor:
        """Return the patches as they are: the sampler has flipped them."""
        return inputs

    def encode_targets(self, targets: Tensor) -> Tensor:
        """Turn label patches `(N, X, Y, Z)` uint8 into regions `(N, R, X, Y, Z)` float32."""
        return to_regions(targets, self.regions).float()

    def read_inputs(self, case: CachedCase) -> Tensor:
        """Read the image of a case on the task grid, `(1, C, X, Y, Z)` float32."""
        return torch.from_numpy(np.asarray(VolumeCase.of(case).image, dtype=np.float32))[None]

    def infer(self, network: nn.Module, inputs: Tensor, settings: SegmentationSettings) -> Tensor:
        """Slide a window over a case; returns logits `(1, R, X, Y, Z)` on the task grid."""
        # The window is the training patch: normalization layers then see the statistics that they were
        # trained on.
        slide = SlidingWindowInferer(
            settings.patch_voxels, sw_batch_size=1, overlap=settings.window_overlap, mode="gaussian"
        )
        logits: Tensor = slide(inputs, network)
        return logits

    def interpret(self, logits: Tensor, case: CachedCase) -> Tensor:
        """Return region probabilities on the native voxels of the case's crop, `(R, X, Y, Z)` float32."""
        return VolumeCase.of(case).geometry.to_native_crop(torch.sigmoid(logits).cpu())

    def decide(self, probabilities: Tensor) -> Tensor:
        """Return the regions, `(R, X, Y, Z)` bool."""
        return probabilities > 0.5

    def example_batch(self, settings: SegmentationSettings) -> tuple[Tensor, Tensor]:
        """Return empty images `(N, C, X, Y, Z)` and regions `(N, R, X, Y, Z)` of a batch."""
        images, regions = (
            torch.empty(settings.batch_size, channels, *settings.patch_voxels)
            for channels in (len(self.inputs), len(self.regions))
        )
        return images, regions

    def sample_bytes(self, settings: SegmentationSettings) -> int:
        """Return the bytes of a patch: float16 for each image and a uint8 label."""
        return math.prod(settings.patch_voxels) * (2 * len(self.inputs) + 1)

    def prepared_bytes(
        self, case: Case, settings: SegmentationSettings, checked: CheckedCohort | None
    ) -> int:
        """Estimate the bytes of a prepared case from the whole volume of its first image.

        Two bytes an image and one for the label at the job's voxel size, and one byte for each original voxel
        of a labeled case. The cache crops to what is not background, so it is smaller.
        """
        size = _known_size(case, checked) or _header_size(case)
        if size is None:
            return 0
        voxels = math.prod(size.shape)
        on_grid = voxels * math.prod(size.spacing_mm) / math.prod(settings.spacing_mm)
        label = int(on_grid) + voxels if case.labeled else 0
        return int(on_grid * 2 * len(self.inputs)) + label

    def propose(
        self,
        fingerprint: Fingerprint,
        settings: SegmentationSettings,
        step_bytes: Callable[[SegmentationSettings], int],
    ) -> list[Choice]:
        """Propose voxel size, patch and batch; see `consilium.tasks.segmentation.proposals`."""
        return propose(fingerprint, settings, step_bytes)


def _known_size(case: Case, checked: CheckedCohort | None) -> VolumeSize | None:
    known = volume_of(checked, case.id) if checked else None
    if known is None or known.shape is None or known.spacing_mm is None:
        return None
    return VolumeSize(known.shape, known.spacing_mm)


def _header_size(case: Case) -> VolumeSize | None:
    try:
        return read_size(next(iter(case.images.values())).path, case_id=case.id)
    except CaseError:
        return None
