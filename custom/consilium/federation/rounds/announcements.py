"""What FLARE's own components hear of the global model: its persistor, its writers of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.workflows.model_controller import ModelController

from consilium.learning.weights import Weights

KEY_METRIC: Final = "dice"
"""The score by which models are compared: the mean Dice over regions."""


class ModelAnnouncements:
    """Tells FLARE's components of the global model in the words that they know.

    Args:
        controller: Whose model it is.
    """

    def __init__(self, controller: ModelController) -> None:
        self._controller = controller

    def publish(self, weights: Weights, rounds_done: int) -> Any:
        """Put weights where FLARE's components look for the global model; returns them in FLARE's form."""
        learnable = make_model_learnable(weights=dict(weights), meta_props={"round": rounds_done})
        self._controller.fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, learnable, private=True, sticky=True)
        return learnable

    def announce_best(self, rounds_done: int, weights: Weights, mean: float) -> None:
        """Say that the model after so many rounds is the best so far, by its mean score over the sites."""
        selection = {
            "best_round": rounds_done,
            "best_aggregated_metrics": {KEY_METRIC: mean},
            "key_metric": {"name": KEY_METRIC, "mode": "max"},
            "source": "scores of the model itself, unweighted mean over sites",
        }
        context = self._controller.fl_ctx
        context.set_prop(AppConstants.METRICS_SELECTION_INFO, selection, private=True, sticky=False)
        self.publish(weights, rounds_done)
        self._controller.event(AppEventType.GLOBAL_BEST_MODEL_AVAILABLE)

    def announce_aggregate(
        self, index: int, change: Weights, scores: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Say what came out of a round.

        Args:
            index: The round, from 0.
            change: What is added to the model.
            scores: Of the model that the round started from, by site.
        """
        names = set.intersection(*(set(of_site) for of_site in scores.values())) if scores else set()
        means = {
            name: float(np.mean([of_site[name] for of_site in scores.values()])) for name in sorted(names)
        }
        aggregate = FLModel(
            params_type=ParamsType.DIFF, params=dict(change), metrics=means or None, current_round=index
        )
        self._controller.fire_event_with_data(
            AppEventType.AFTER_AGGREGATION,
            self._controller.fl_ctx,
            AppConstants.AGGREGATION_RESULT,
            aggregate,
        )
