"""Pictures of one patient per hospital, if the hospitals' folders are on this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from consilium.data.cached_case import CachedCase
from consilium.data.files import private_folder
from consilium.errors import DataError, SiteRefusal
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import Device, open_device
from consilium.learning.evaluator import score_cases
from consilium.learning.model_file import load_model
from consilium.learning.predictor import Predictor
from consilium.learning.weights import Weights
from consilium.participant.site_data import SiteData, prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.tasks import Task, get_task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import MetricSet, Scores
from consilium.tasks.presentation import PRINT, SCREEN, Presentation

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PatientPicture:
    """A picture of one test patient, without anything that identifies the patient.

    Attributes:
        path: The PNG for screens.
        printed: The one for paper.
        text: What it shows, for who can't see it.
        score: The patient's key metric, as far as a single patient has one.
    """

    path: Path
    printed: Path
    text: str
    score: float | None = None


def prepare_sites(sites: Mapping[str, SiteSettings], learning: LearningSettings) -> dict[str, SiteData]:
    """Open the hospitals' caches here as well; a hospital that declined in the federation is left out.

    Args:
        sites: Site name to what the hospital decides, with absolute paths.
        learning: What was trained.
    """
    data = {}
    for name, site in sites.items():
        try:
            data[name] = prepare_site(site, learning, name=name)
        except (SiteRefusal, DataError):
            continue  # the record says so with the reason, and so does the report
    return data


def draw_patients(
    data: Mapping[str, SiteData], learning: LearningSettings, model: Path, folder: Path
) -> dict[str, PatientPicture | None]:
    """Draw the median test patient of every hospital that has one.

    Args:
        data: The hospitals.
        learning: What was trained.
        model: The model's file.
        folder: Where `patient_<site>.png` and `print_patient_<site>.png` go; made where needed.

    Returns:
        The pictures; None for a hospital whose patient could not be drawn: the log says why.

    Raises:
        ConsiliumError: If the model can't be used.
    """
    task, device = get_task(learning.task), open_device(ComputeSettings())
    if task.presentation is None:
        return {}
    weights, _ = load_model(model)
    draw = _PatientRenderer(task, task.presentation, learning, weights, device)
    pictures: dict[str, PatientPicture | None] = {}
    private_folder(folder, ours=False)
    for name, site in data.items():
        if not site.test:
            continue
        try:
            pictures[name] = draw.median_patient(site, folder / f"patient_{name}.png", title=name)
        except Exception:  # the report of days of training is not lost for a picture
            _logger.exception("no picture of a patient of %s", name)
            pictures[name] = None
    return pictures


def pick_patient(
    evaluated: Sequence[tuple[CachedCase, Scores]], metrics: MetricSet
) -> tuple[CachedCase, float | None]:
    """Choose the patient with the median key metric, of an even number the worse one: not the best.

    Args:
        evaluated: Cases, each with what it scored.
        metrics: The task's.

    Returns:
        The case and its key metric; where no single patient has one, the case in the middle and None.

    Raises:
        ValueError: If there is no case.
    """
    if not evaluated:
        raise ValueError("there is no case to pick from")
    key = metrics.key_metric
    scored = [(case, {**row, **metrics.means(row)}.get(key.name)) for case, row in evaluated]
    if key.combines != "derived":
        scored.sort(key=lambda pair: key.gain(pair[1] or 0.0, 0.0))
    return scored[(len(scored) - 1) // 2]


class _PatientRenderer:
    """Draws patients with a model's predictions."""

    def __init__(
        self,
        task: Task,
        presentation: Presentation,
        learning: LearningSettings,
        weights: Weights,
        device: Device,
    ) -> None:
        self._presentation = presentation
        self._evaluation = task.evaluation
        self._evaluate = partial(score_cases, task, learning, weights, device=device, final=False)
        self._predictor = Predictor(task, learning, weights, device)

    def median_patient(self, site: SiteData, path: Path, *, title: str) -> PatientPicture | None:
        """Draw one patient of a hospital; None if none of its cases can be read."""
        scores = self._evaluate(cases=site.test)
        evaluated = [
            (case, score) for case, score in zip(site.test, scores, strict=True) if score is not None
        ]
        if not evaluated:
            return None
        case, score = pick_patient(evaluated, self._evaluation.metrics)
        prediction = self._predictor.predict(case)
        text = self._presentation.content.format(patient=f"a test patient of {title}")
        picture = PatientPicture(path, path.with_name(f"print_{path.name}"), text, score)
        for file, medium in ((picture.path, SCREEN), (picture.printed, PRINT)):
            self._presentation.draw(case, prediction, file, title=title, medium=medium)
        return picture
