import logging

import numpy as np
import pytest
from tasks.segmentation.test_pictures import phantom
from torch import nn

from consilium.learning.model_file import save_model
from consilium.participant.site_data import SiteData
from consilium.report.training.build import build_report
from consilium.report.training.patients import draw_patients, pick_patient
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.segmentation import networks
from consilium.tasks.segmentation.presentation import SlicePresentation
from report.study import SECONDS, federation

LEARNING = BrainTumorSettings(patch_voxels=32)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A network of one layer that finds no tumor anywhere."""
    monkeypatch.setitem(
        networks.NETWORKS, LEARNING.network, lambda channels, regions: nn.Conv3d(channels, regions, 1)
    )
    weights = {"weight": np.zeros((3, 4, 1, 1, 1), np.float32), "bias": np.full(3, -20, np.float32)}
    save_model(tmp_path / "model", weights, {})
    return tmp_path / "model"


@pytest.mark.usefixtures("without_drawings")
@pytest.mark.parametrize("damage", [pytest.param("image gone", marks=pytest.mark.long), "drawing fails"])
def test_a_patient_who_can_not_be_drawn_costs_a_picture_and_no_report(
    tmp_path, model, monkeypatch, caplog, damage
):
    sound, other = phantom(tmp_path / "sound"), phantom(tmp_path / "other")
    if damage == "image gone":
        (other.folder / "image.npy").unlink()
    else:
        render = SlicePresentation.draw

        def fails(self, case, *args, **kwargs):
            if case is other:
                raise IndexError("an image of nothing")
            render(self, case, *args, **kwargs)

        monkeypatch.setattr(SlicePresentation, "draw", fails)
    data = {"aster": SiteData((), (), (sound,)), "birch": SiteData((), (), (other,))}
    with caplog.at_level(logging.ERROR):
        pictures = draw_patients(data, LEARNING, model, tmp_path / "report")
    assert pictures["aster"].path.is_file()
    assert pictures["birch"] is None
    page = build_report(tmp_path / "report", federation(), baselines=None, seconds=SECONDS, patients=pictures)
    html = page.read_text(encoding="utf-8")
    assert "aster: mean Dice of this patient" in html
    assert "No picture of a patient of birch: it could not be drawn." in html


def test_the_patient_in_the_middle_is_drawn_and_of_an_even_number_the_worse_one():
    metrics = get_task("brain_tumor").evaluation.metrics
    rows = [{"dice_tc": dice, "dice_wt": dice, "dice_et": dice} for dice in (0.75, 0.25, 1.0, 0.5)]
    evaluated = list(zip("abcd", rows, strict=True))
    assert pick_patient(evaluated, metrics) == ("d", 0.5)
    assert pick_patient(evaluated[:3], metrics) == ("a", 0.75)
    with pytest.raises(ValueError, match="no case"):
        pick_patient([], metrics)
