"""Segment one case with one network."""

from __future__ import annotations

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from torch import Tensor

from consilium.data.cache import CachedCase
from consilium.learning.device import Device
from consilium.learning.network_weights import set_weights
from consilium.learning.weights import Weights
from consilium.tasks import Task
from consilium.tasks.settings import LearningSettings


class Predictor:
    """Segments cases on their own, original voxels, whatever grid the network works on.

    Args:
        task: What is segmented.
        settings: The settings that the network was trained with.
        weights: The trained weights.
        device: On what.
    """

    def __init__(self, task: Task, settings: LearningSettings, weights: Weights, device: Device) -> None:
        self._network = device.place(task.build_network(settings.network)).eval()
        set_weights(self._network, weights)
        self._device = device
        # The window is the training patch: normalization layers then see the statistics that they were
        # trained on.
        self._inferer = SlidingWindowInferer(
            settings.patch_voxels,  # type: ignore[attr-defined]
            sw_batch_size=1,
            overlap=settings.window_overlap,  # type: ignore[attr-defined]
            mode="gaussian",
        )

    @torch.inference_mode()
    def probabilities(self, case: CachedCase) -> Tensor:
        """Return region probabilities on the native voxels of the case's crop, `(R, X, Y, Z)` float32."""
        image = torch.from_numpy(np.asarray(case.image, dtype=np.float32))[None]
        with self._device.autocast():
            logits = self._inferer(self._device.move(image), self._network)[0]
        return case.geometry.to_native_crop(torch.sigmoid(logits.float()).cpu())

    def regions(self, case: CachedCase) -> Tensor:
        """Return the regions on the native voxels of the case's crop, `(R, X, Y, Z)` bool."""
        return self.probabilities(case) > 0.5
