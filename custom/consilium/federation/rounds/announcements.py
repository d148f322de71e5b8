"""Publication of the global model to FLARE's components: its persistor, its writers of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.workflows.model_controller import ModelController

from consilium.learning.weights import Weights
from consilium.records.summed_reports import name_scorers
from consilium.tasks.metrics import Metric


class ModelAnnouncements:
    """Publishes the global model and its scores by FLARE's properties and events.

    Args:
        controller: Whose model it is.
    """

    def __init__(self, controller: ModelController) -> None:
        self._controller = controller

    def publish(self, weights: Weights, number: int) -> Any:
        """Put weights where FLARE's components look for the global model; returns them in FLARE's form.

        Args:
            weights: The model.
            number: The round that made it; 0 is the initial model.
        """
        learnable = make_model_learnable(weights=dict(weights), meta_props={"round": number})
        self._controller.fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, learnable, private=True, sticky=True)
        return learnable

    def announce_best(
        self, number: int, weights: Weights, scores: Mapping[str, float], metric: Metric
    ) -> None:
        """Publish a round's model as the best so far.

        Args:
            number: The round that made the model.
            weights: The model.
            scores: Its key score at each site that counts.
            metric: The key metric.
        """
        selection = {
            "best_round": number,
            "best_aggregated_metrics": {metric.name: fmean(scores.values())} if scores else {},
            "key_metric": {"name": metric.name, "mode": "max" if metric.higher_is_better else "min"},
            "source": f"unweighted mean over {name_scorers(scores)}",
        }
        context = self._controller.fl_ctx
        context.set_prop(AppConstants.METRICS_SELECTION_INFO, selection, private=True, sticky=False)
        self.publish(weights, number)
        self._controller.event(AppEventType.GLOBAL_BEST_MODEL_AVAILABLE)

    def announce_aggregate(self, index: int, change: Weights, scores: Mapping[str, float]) -> None:
        """Publish the aggregate of a round.

        Args:
            index: The round, from 0.
            change: The difference that is added to the model.
            scores: Of the model that the round started from, of all sites together.
        """
        aggregate = FLModel(
            params_type=ParamsType.DIFF,
            params=dict(change),
            metrics=dict(scores) or None,
            current_round=index,
        )
        self._controller.fire_event_with_data(
            AppEventType.AFTER_AGGREGATION,
            self._controller.fl_ctx,
            AppConstants.AGGREGATION_RESULT,
            aggregate,
        )
