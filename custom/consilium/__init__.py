"""Consilium: hospitals train, evaluate and ship one medical imaging model with NVIDIA FLARE and MONAI.

What a user imports. Each name loads when it is first used, as torch, MONAI and FLARE take seconds.

Example:
    >>> import consilium
    >>> recipe = consilium.build_recipe("brain_tumor_fedavg", {"rounds": 3})
    >>> recipe.settings.rounds
    3
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consilium.bundle.options import BundleOptions
    from consilium.bundle.writer import write_bundle
    from consilium.errors import ConsiliumError
    from consilium.learning.compute_settings import ComputeSettings
    from consilium.learning.device import open_device
    from consilium.learning.evaluator import score_cases
    from consilium.learning.model_file import load_model
    from consilium.learning.network_state import initial_weights
    from consilium.learning.predictor import Predictor
    from consilium.learning.schedule import Schedule
    from consilium.local_training.run import LocalTraining, train
    from consilium.participant.participant import Participant
    from consilium.participant.site_data import SiteData, prepare_site
    from consilium.participant.site_settings import SiteSettings
    from consilium.prediction.evaluate import EvaluatedCases, evaluate
    from consilium.prediction.run import PredictedCases, predict
    from consilium.prediction.trained_model import TrainedModel
    from consilium.recipes.base import JobRecipe
    from consilium.recipes.catalog import build_recipe
    from consilium.recipes.exported_job import ExportedJob, export_job, read_exported_job
    from consilium.records.federation import FederationRecord
    from consilium.records.job_record import load_record
    from consilium.report.data_check.page import DataCheck
    from consilium.report.write import write_report
    from consilium.simulation.display import Display
    from consilium.simulation.environment import HospitalSimEnv
    from consilium.simulation.hospitals import NamesAndLabels
    from consilium.simulation.run import SimulationResult, simulate
    from consilium.site_check.folder import check_folder
    from consilium.site_check.job import load_site_job
    from consilium.tasks.base import Task
    from consilium.tasks.learning_settings import LearningSettings
    from consilium.tasks.registry import get_task

    __version__: str

__all__ = [
    "BundleOptions",
    "ComputeSettings",
    "ConsiliumError",
    "DataCheck",
    "Display",
    "EvaluatedCases",
    "ExportedJob",
    "FederationRecord",
    "HospitalSimEnv",
    "JobRecipe",
    "LearningSettings",
    "LocalTraining",
    "NamesAndLabels",
    "Participant",
    "PredictedCases",
    "Predictor",
    "Schedule",
    "SimulationResult",
    "SiteData",
    "SiteSettings",
    "Task",
    "TrainedModel",
    "build_recipe",
    "check_folder",
    "evaluate",
    "export_job",
    "get_task",
    "initial_weights",
    "load_model",
    "load_record",
    "load_site_job",
    "open_device",
    "predict",
    "prepare_site",
    "read_exported_job",
    "score_cases",
    "simulate",
    "train",
    "write_bundle",
    "write_report",
]

_MODULES = {
    "BundleOptions": "consilium.bundle.options",
    "ComputeSettings": "consilium.learning.compute_settings",
    "ConsiliumError": "consilium.errors",
    "DataCheck": "consilium.report.data_check.page",
    "Display": "consilium.simulation.display",
    "EvaluatedCases": "consilium.prediction.evaluate",
    "FederationRecord": "consilium.records.federation",
    "ExportedJob": "consilium.recipes.exported_job",
    "HospitalSimEnv": "consilium.simulation.environment",
    "JobRecipe": "consilium.recipes.base",
    "LearningSettings": "consilium.tasks.learning_settings",
    "LocalTraining": "consilium.local_training.run",
    "NamesAndLabels": "consilium.simulation.hospitals",
    "Participant": "consilium.participant.participant",
    "PredictedCases": "consilium.prediction.run",
    "Predictor": "consilium.learning.predictor",
    "Schedule": "consilium.learning.schedule",
    "SimulationResult": "consilium.simulation.run",
    "SiteData": "consilium.participant.site_data",
    "SiteSettings": "consilium.participant.site_settings",
    "Task": "consilium.tasks.base",
    "TrainedModel": "consilium.prediction.trained_model",
    "build_recipe": "consilium.recipes.catalog",
    "check_folder": "consilium.site_check.folder",
    "score_cases": "consilium.learning.evaluator",
    "evaluate": "consilium.prediction.evaluate",
    "export_job": "consilium.recipes.exported_job",
    "get_task": "consilium.tasks.registry",
    "initial_weights": "consilium.learning.network_state",
    "load_model": "consilium.learning.model_file",
    "load_record": "consilium.records.job_record",
    "load_site_job": "consilium.site_check.job",
    "open_device": "consilium.learning.device",
    "predict": "consilium.prediction.run",
    "prepare_site": "consilium.participant.site_data",
    "read_exported_job": "consilium.recipes.exported_job",
    "simulate": "consilium.simulation.run",
    "train": "consilium.local_training.run",
    "write_bundle": "consilium.bundle.writer",
    "write_report": "consilium.report.write",
}
"""Public name to the module that defines it."""


def __getattr__(name: str) -> Any:
    """Load a public name, or `__version__`, which takes longer to read than most imports.

    Raises:
        AttributeError: If the package has no such name.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("consilium")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__, "__version__"})
