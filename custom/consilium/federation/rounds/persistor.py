"""The server's persistor of the global model: built from the task's name, stored as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.abstract.model import ModelLearnable, ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.model_desc import ModelDescriptor

from consilium.errors import ConfigurationError
from consilium.learning.initial_model import InitialModel, write_origin
from consilium.learning.model_file import BEST_MODEL, LAST_MODEL, load_model, save_model
from consilium.learning.model_store import ModelStore
from consilium.learning.weights import Weights
from consilium.tasks import get_task, parse_learning


class WeightsPersistor(ModelPersistor):  # type: ignore[misc]
    """Builds, saves and loads weights without class paths or pickle.

    FLARE's own persistor takes a model object or the path of a class from the job. This one takes the task's
    and the network's names, and the file format can't hold code. The model's settings travel in the file's
    metadata.

    Args:
        learning: The fields of `LearningSettings`.
        initial: The fields of `InitialModel`; None to start from weights that are drawn.

    Raises:
        ConfigurationError: If a setting can't be used.
    """

    def __init__(self, learning: dict[str, Any], initial: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.learning = learning
        self.initial = initial
        self._initial = (
            None if initial is None else InitialModel.parse(initial, source="the job's initial model")
        )
        self._settings = parse_learning(learning, source="the job's learning settings")

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        """Return the job's initial model, or the network with drawn weights, the same for the same seed.

        Raises:
            ConfigurationError: If the server doesn't have the initial model, or the network is another.
        """
        # Only a job that starts from the beginning needs torch and MONAI at the server, and only here.
        from consilium.learning.network_state import initial_weights

        settings = self._settings
        weights: Weights = initial_weights(get_task(settings.task), settings, settings.seed)
        if self._initial is not None:
            local = Path(fl_ctx.get_engine().get_workspace().get_site_config_dir())
            weights = self._initial.load(ModelStore.of_server(local), weights)
        return make_model_learnable(weights=weights, meta_props={"round": 0})

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        """Save the global model after a round."""
        self._save(model, fl_ctx, LAST_MODEL)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Save the best global model when the controller announces one."""
        if event_type == AppEventType.GLOBAL_BEST_MODEL_AVAILABLE:
            self._save(fl_ctx.get_prop(AppConstants.GLOBAL_MODEL), fl_ctx, BEST_MODEL)

    def get_model_inventory(self, fl_ctx: FLContext) -> dict[str, ModelDescriptor]:
        """List the models at hand, by the file name that `get_model` takes."""
        return {
            file: ModelDescriptor(name=name, location=file, model_format="safetensors")
            for name, file in (("last", LAST_MODEL), ("best", BEST_MODEL))
            if (self._folder(fl_ctx) / file).exists()
        }

    def get_model(self, model_file: str, fl_ctx: FLContext) -> ModelLearnable:
        """Load one model of the inventory.

        Raises:
            ConfigurationError: If it is not in the inventory.
        """
        if model_file not in (LAST_MODEL, BEST_MODEL):
            raise ConfigurationError(f"no model is named {model_file!r}; known: {LAST_MODEL}, {BEST_MODEL}")
        weights, metadata = load_model(self._folder(fl_ctx) / model_file)
        return make_model_learnable(weights=dict(weights), meta_props={"round": int(metadata["round"])})

    def _save(self, model: ModelLearnable, fl_ctx: FLContext, file: str) -> None:
        path = self._folder(fl_ctx) / file
        job = (fl_ctx.get_prop(FLContextKey.JOB_META) or {}).get(JobMetaKey.JOB_NAME.value)
        metadata = {
            "learning": json.dumps(self._settings.model_dump(mode="json")),
            "round": str(model[ModelLearnableKey.META]["round"]),
            **({"job": str(job)} if job else {}),
            **write_origin(self._initial.origin if self._initial else ()),
        }
        save_model(path, model[ModelLearnableKey.WEIGHTS], metadata)

    @staticmethod
    def _folder(fl_ctx: FLContext) -> Path:
        return Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id()))
