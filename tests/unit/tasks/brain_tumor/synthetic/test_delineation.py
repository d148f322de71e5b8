import numpy as np
import pytest

from consilium.tasks.brain_tumor.synthetic import CaseLayout, HospitalSpec, Label, make_patient
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.delineation import move_margin

from .conftest import COARSE


def ball(radius: int) -> np.ndarray:
    """Voxels of 1 mm around the middle of a cube."""
    axes = np.mgrid[-15:16, -15:16, -15:16]
    return np.asarray((axes**2).sum(axis=0) <= radius**2)


BRAIN = ball(14)
LABEL = np.where(ball(5), Label.ENHANCING, np.where(ball(9), Label.EDEMA, Label.BACKGROUND)).astype(np.uint8)


@pytest.mark.parametrize("margin_mm", [-3, -1, 0, 2, 4])
def test_the_edge_of_edema_moves_by_the_margin(margin_mm: float) -> None:
    moved = move_margin(LABEL, BRAIN, margin_mm, spacing_mm=1.0)
    radius = np.cbrt((moved > 0).sum() * 3 / (4 * np.pi))
    assert radius == pytest.approx(9 + margin_mm, abs=0.6)


@pytest.mark.parametrize("margin_mm", [-6, 6])
def test_neither_the_core_changes_nor_is_anything_drawn_outside_of_the_images(margin_mm: float) -> None:
    moved = move_margin(LABEL, BRAIN, margin_mm, spacing_mm=1.0)
    assert np.array_equal(moved == Label.ENHANCING, LABEL == Label.ENHANCING)
    assert not (moved[~BRAIN] > 0).any()
    assert (moved > 0).any(where=~ball(9)) == (margin_mm > 0)


@pytest.mark.long
def test_another_style_changes_a_hospital_s_labels_and_no_image(atlas: Atlas) -> None:
    plain = HospitalSpec(name="elder", layout=CaseLayout.BRATS_2021, cases=1)
    wide = plain.model_copy(update={"label_margin_mm": 3.0})
    first, second = (make_patient(atlas, COARSE, one, 0, 0) for one in (plain, wide))
    assert (second.label > 0).sum() > 1.1 * (first.label > 0).sum()
    assert all(np.array_equal(image, second.images[name]) for name, image in first.images.items())
