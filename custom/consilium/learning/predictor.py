"""Predictions of one network for a case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from consilium.data.cached_case import CachedCase
from consilium.learning.device import Device
from consilium.learning.network_state import set_weights
from consilium.learning.weights import Weights
from consilium.tasks import LearningSettings, Task

Inference: TypeAlias = Callable[[nn.Module, Tensor], Tensor]
"""Runs a network on a whole case: inputs `(1, ...)` to logits `(1, ...)`."""


class Predictor:
    """Predicts prepared cases with one network, as the task's method has it; `predict` takes files.

    Example:
        ```python
        from consilium import ComputeSettings, Predictor, get_task, load_model, open_device

        weights, _ = load_model(Path("runs/first/result/model.safetensors"))
        predictor = Predictor(get_task(learning.task), learning, weights, open_device(ComputeSettings()))
        prediction = predictor.predict(cases.test[0])  # see `prepare_site`
        ```

    Args:
        task: What is predicted.
        settings: The settings that the network was trained with.
        weights: The trained weights.
        device: On what.
        inference: How a network is run on a case; default: `Method.infer`, by which models are evaluated.

    Raises:
        SiteRefusal: If the device's memory is full.
    """

    def __init__(
        self,
        task: Task,
        settings: LearningSettings,
        weights: Weights,
        device: Device,
        *,
        inference: Inference | None = None,
    ) -> None:
        self._method = task.method
        self._infer = inference or partial(self._method.infer, settings=settings)
        self._network = device.place(self._method.build_network(settings)).eval()
        with device.refuse_full_memory("loading the network"):
            set_weights(self._network, weights)
        self._device = device

    @torch.inference_mode()
    def probabilities(self, case: CachedCase) -> Tensor:
        """Return the probabilities of a case; see `Method.interpret`.

        Raises:
            SiteRefusal: If the device's memory is full.
        """
        inputs = self._method.read_inputs(case)
        with self._device.refuse_full_memory("prediction"):
            with self._device.autocast():
                logits = self._infer(self._network, self._device.move(inputs))[0]
            return self._method.interpret(logits.float(), case)

    def predict(self, case: CachedCase) -> Tensor:
        """Return the prediction for a case that is evaluated and shown; see `Method.decide`."""
        return self._method.decide(self.probabilities(case))
