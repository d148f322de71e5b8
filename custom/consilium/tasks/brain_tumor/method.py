"""Method of brain tumor segmentation, with contrast augmentation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.method import BatchShare
from consilium.tasks.proposals import Choice, Fingerprint
from consilium.tasks.segmentation.method import SegmentationMethod
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings


class BrainTumorMethod(SegmentationMethod):
    """The method of `BrainTumor`."""

    def augment(
        self,
        inputs: Tensor,
        share: BatchShare,
        generator: torch.Generator,
        settings: SegmentationSettings,
    ) -> Tensor:
        """Change the contrast of every image of every patch; with modality dropout, some show nothing."""
        changed = change_contrast(inputs, share, generator)
        if isinstance(settings, BrainTumorSettings) and settings.modality_dropout:
            return drop_modalities(changed, share, generator, settings.modality_dropout)
        return changed

    def propose(
        self,
        fingerprint: Fingerprint,
        settings: SegmentationSettings,
        step_bytes: Callable[[SegmentationSettings], int],
    ) -> list[Choice]:
        """Propose voxel size, patch and batch, and say how images are normalized."""
        reason = "the same in every job"
        if (scales := fingerprint.data.scales) is not None:
            reason += f"; one hospital stores its images {scales:.0f} times as bright as another"
        normalization = "each image to zero mean and unit standard deviation over its brain"
        choices = super().propose(fingerprint, settings, step_bytes)
        return [*choices, Choice(None, normalization, reason)]


def change_contrast(images: Tensor, share: BatchShare, generator: torch.Generator) -> Tensor:
    """Change gain, offset and gamma of every image of every patch, as another scanner would.

    It works on whole batches where the network is, so that cutting patches stays a mere copy. The background
    stays exactly 0, which is how the network knows where the head ends.

    Args:
        images: `(N, C, X, Y, Z)`, float32, changed in place.
        share: The rows of the batch that the images are; the draw is for the whole batch.
        generator: On the CPU, whatever the device of the images: the draw is then the same everywhere.
    """
    shape = (share.batch_size, images.shape[1], 1, 1, 1)
    gain, offset, gamma = (
        torch.empty(shape).uniform_(low, high, generator=generator)[share.rows].to(images.device)
        for low, high in ((0.8, 1.25), (-0.25, 0.25), (0.75, 1.35))
    )
    background = images == 0
    images.mul_(gain).add_(offset)
    if torch.rand((), generator=generator) < 0.3:
        images = images.sign() * images.abs().pow_(gamma)
    return images.masked_fill_(background, 0)


def drop_modalities(
    images: Tensor, share: BatchShare, generator: torch.Generator, probability: float
) -> Tensor:
    """Replace images of patches by 0, each with a probability; of every patch at least one image is left.

    An image that a case lacks is 0 as well, everywhere. No normalized image is: its mean over the brain is 0
    and its standard deviation 1, so a patch of 0 with brain in another image can only be a missing one. With
    0 the first convolution gets nothing of the image, at the patch's zero padding either. As in ModDrop
    (Neverova et al. 2016, doi 10.1109/TPAMI.2015.2461544), images are dropped independently.

    Args:
        images: `(N, C, X, Y, Z)`, float32, changed in place.
        share: The rows of the batch that the images are; the draw is for the whole batch.
        generator: On the CPU, whatever the device of the images: the draw is then the same everywhere.
        probability: Of each image.
    """
    draws = torch.rand((share.batch_size, images.shape[1]), generator=generator)[share.rows].to(images.device)
    shown = (images != 0).flatten(2).any(dim=2)  # an image that the case lacks is none that could be left
    last = torch.where(shown, draws, -1.0).argmax(dim=1, keepdim=True)
    dropped = (draws < probability).scatter(1, last, False)
    return images.masked_fill_(dropped[:, :, None, None, None], 0)
