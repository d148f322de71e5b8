"""Pictures of one patient of every hospital, where the hospitals' folders are on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from consilium.data.files import private_folder
from consilium.errors import DataError, SiteRefusal
from consilium.learning.device import open_device
from consilium.learning.evaluator import evaluate
from consilium.learning.model_file import load_model
from consilium.learning.participant import SiteData, prepare_site
from consilium.learning.predictor import Predictor
from consilium.learning.settings import ComputeSettings, LearningSettings
from consilium.learning.site_settings import SiteSettings
from consilium.report.pictures import PatientPicture, pick_patient, render_patient
from consilium.tasks import get_task


def prepare_sites(sites: Mapping[str, SiteSettings], learning: LearningSettings) -> dict[str, SiteData]:
    """Open the hospitals' caches here as well; a hospital that refused in the federation is left out.

    Args:
        sites: Site name to what the hospital decides, with absolute paths.
        learning: What was trained.
    """
    data = {}
    for name, site in sites.items():
        try:
            data[name] = prepare_site(site, learning)
        except (SiteRefusal, DataError):
            continue  # the record says so with the reason, and so does the report
    return data


def draw_patients(
    data: Mapping[str, SiteData], learning: LearningSettings, model: Path, folder: Path
) -> dict[str, PatientPicture]:
    """Draw the median validation patient of every hospital that has one.

    Args:
        data: The hospitals.
        learning: What was trained.
        model: The model's file.
        folder: Where `patient_<site>.png` go; made where needed.

    Raises:
        ConsiliumError: If the model can't be used.
    """
    task, device = get_task(learning.task), open_device(ComputeSettings())
    weights, _ = load_model(model)
    predictor = Predictor(task, learning, weights, device)
    pictures = {}
    private_folder(folder, ours=False)
    for name, site in data.items():
        if not site.validation:
            continue
        scores = evaluate(task, learning, weights, site.validation, device, distances=False)
        judged = [
            (case, score) for case, score in zip(site.validation, scores, strict=True) if score is not None
        ]
        if not judged:
            continue
        case, its_scores = pick_patient([case for case, _ in judged], [score for _, score in judged])
        path = folder / f"patient_{name}.png"
        render_patient(
            case, predictor.regions(case), task.regions, path, modalities=task.modalities, title=name
        )
        pictures[name] = PatientPicture(path, its_scores)
    return pictures
