from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from numpy.typing import NDArray
from torch import Tensor

from consilium.data.cache import open_entry
from consilium.data.cache_entry import write_entry
from consilium.data.cached_case import CachedCase
from consilium.data.case import Case
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.brain_tumor.task import BrainTumor
from consilium.tasks.presentation import PRINT
from consilium.tasks.segmentation.geometry import Geometry
from consilium.tasks.segmentation.pictures import render_patient
from consilium.tasks.segmentation.presentation import SlicePresentation
from consilium.tasks.segmentation.regions import to_regions
from consilium.tasks.segmentation.volume_case import PreprocessedCase

SHAPE = (44, 54, 20)  # 40 x 50 x 48 mm of head, and two voxels of air around it
SPACING = (1.0, 1.0, 3.0)
TUMOR = (slice(30, 36), slice(38, 46), slice(9, 13))  # the patient's right, in front
SHOWN = {3: "FLAIR", 1: "T1ce"}
REGIONS = BrainTumor.targets


def phantom(
    folder: Path, *, patient: str = "A", reference: bool = True, value: float | None = None
) -> CachedCase:
    """A box of a head with a tumor, in thick slices; the task grid is the native one."""
    head = np.zeros(SHAPE, dtype=np.float32)
    inside = tuple(slice(2, size - 2) for size in SHAPE)
    head[inside] = np.random.default_rng(0).normal(1.0, 0.1, head[inside].shape)
    head[TUMOR] += 0.5
    if value is not None:
        head[:] = value
    tissues = np.zeros(SHAPE, dtype=np.uint8)
    tissues[TUMOR] = Tissue.EDEMA
    geometry = Geometry(
        file_shape=SHAPE,
        file_affine=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 3, 0), (0, 0, 0, 1)),
        orientation="RAS",
        native_spacing_mm=SPACING,
        crop_start=(0, 0, 0),
        crop_stop=SHAPE,
        task_shape=SHAPE,
    )
    label = tissues if reference else None
    image = np.stack([head] * 4).astype(np.float16)
    folder.mkdir(parents=True)
    write_entry(
        folder, PreprocessedCase(image=image, label=label, reference=label, geometry=geometry).prepared()
    )
    case = open_entry(folder, Case(id=patient, patient=patient, images={}, target=None), case_format=CASES)
    assert case is not None
    return case


def drawn(case: CachedCase, prediction: Tensor, path: Path) -> NDArray[Any]:
    """Rows from the top, RGB from 0 to 1."""
    render_patient(case, prediction, REGIONS, path, shown=SHOWN, title="aster, a patient")
    picture: NDArray[Any] = imread(path)[:, :, :3]
    return picture


def panel(picture: NDArray[Any], row: int, column: int, columns: int = 4) -> NDArray[Any]:
    """One of the panels in two rows, without headings and legend."""
    height, width = picture.shape[:2]
    top, bottom = ((0.125, 0.49), (0.53, 0.93))[row]
    left, right = (place * width // columns for place in (column, column + 1))
    return picture[int(top * height) : int(bottom * height), left:right]


def colored(part: NDArray[Any]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.ptp(part, axis=2) > 0.2
    return mask


def box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Center from the top, center from the left, height, width."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    return (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2, height, width


def head(part: NDArray[Any]) -> NDArray[np.bool_]:
    """Where there is anatomy: columns and rows that are lit over some length, which letters are not."""
    lit = part.max(axis=2) > 0.05
    long = 120
    return lit & (lit.sum(axis=0) > long)[None] & (lit.sum(axis=1) > long)[:, None]


def truth() -> Tensor:
    tissues = torch.zeros(SHAPE, dtype=torch.uint8)
    tissues[TUMOR] = int(Tissue.EDEMA)
    return to_regions(tissues, REGIONS)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> NDArray[Any]:
    folder = tmp_path_factory.mktemp("phantom")
    return drawn(phantom(folder / "case"), truth(), folder / "picture.png")


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("column", [1, 2], ids=["reference", "model"])
def test_the_patient_s_right_is_on_the_left_and_the_front_on_top(picture: NDArray[Any], column: int) -> None:
    part = panel(picture, 0, column)
    top, left, _, _ = box(colored(part))
    head_top, head_left, height, width = box(head(part))
    # The tumor's center is 11 of 40 mm to the right of the middle, and 15 of 50 mm to the front.
    assert (head_left - left) / width == pytest.approx(11 / 40, abs=0.03)
    assert (head_top - top) / height == pytest.approx(15 / 50, abs=0.03)


def test_the_front_is_on_the_left_of_a_sagittal_slice(picture: NDArray[Any]) -> None:
    part = panel(picture, 1, 3)
    _, left, _, _ = box(colored(part))
    _, head_left, _, width = box(head(part))
    assert (head_left - left) / width == pytest.approx(15 / 50, abs=0.03)


@pytest.mark.parametrize(("row", "column", "ratio"), [(0, 0, 50 / 40), (0, 3, 48 / 40), (1, 3, 48 / 50)])
def test_thick_slices_are_drawn_to_scale(picture: NDArray[Any], row: int, column: int, ratio: float) -> None:
    _, _, height, width = box(head(panel(picture, row, column)))
    assert height / width == pytest.approx(ratio, abs=0.04)


def test_the_picture_shows_what_the_model_found(picture: NDArray[Any], tmp_path: Path) -> None:
    assert colored(panel(picture, 0, 2)).sum() > 500
    assert not colored(panel(picture, 0, 0)).any()
    missed = drawn(phantom(tmp_path / "case"), torch.zeros_like(truth()), tmp_path / "picture.png")
    assert not colored(panel(missed, 0, 2)).any()
    assert colored(panel(missed, 0, 1)).any()


@pytest.mark.long
def test_on_paper_the_background_is_white_and_the_anatomy_the_same(tmp_path: Path) -> None:
    case = phantom(tmp_path / "case")
    render_patient(
        case,
        truth(),
        REGIONS,
        tmp_path / "print.png",
        shown=SHOWN,
        title="aster",
        medium=PRINT,
    )
    part = panel(imread(tmp_path / "print.png")[:, :, :3], 0, 2)
    assert part[0, 0] == pytest.approx((1, 1, 1))
    assert (part.min(axis=2) < 0.2).mean() < 0.2
    assert colored(part).sum() > 200


@pytest.mark.long
def test_without_a_reference_the_prediction_chooses_the_slice_and_no_panel_is_empty(tmp_path: Path) -> None:
    shown = drawn(phantom(tmp_path / "case", reference=False), truth(), tmp_path / "picture.png")
    colors = [colored(panel(shown, 0, column, columns=3)).sum() > 500 for column in range(3)]
    assert colors == [False, True, True]


def test_nothing_tells_who_the_patient_is(tmp_path: Path) -> None:
    known = phantom(tmp_path / "BraTS-GLI-00042-000", patient="BraTS-GLI-00042")
    other = phantom(tmp_path / "other", patient="B")
    drawn(known, truth(), tmp_path / "known.png")
    drawn(other, truth(), tmp_path / "other.png")
    content = (tmp_path / "known.png").read_bytes()
    assert content == (tmp_path / "other.png").read_bytes()
    assert b"tEXt" not in content
    assert b"iTXt" not in content


def test_a_prediction_on_another_grid_is_rejected(tmp_path: Path) -> None:
    case = phantom(tmp_path / "case")
    with pytest.raises(
        ValueError, match=r"prediction has the shape \(3, 44, 54, 19\), not \(3, 44, 54, 20\)"
    ):
        drawn(case, truth()[..., :-1], tmp_path / "picture.png")


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("inputs", [("t1", "t2"), ("ct",), BrainTumor.inputs])
def test_what_the_task_has_not_is_not_missed(tmp_path: Path, inputs: tuple[str, ...]) -> None:
    case = phantom(tmp_path / "case")
    presentation = SlicePresentation(inputs, REGIONS, preferred=("flair", "t1ce"))
    presentation.draw(case, truth(), tmp_path / "picture.png", title="aster")
    assert colored(imread(tmp_path / "picture.png")[:, :, :3]).any()
    expected = {2: "T1 and T2", 1: "CT", 4: "FLAIR and T1CE"}[len(inputs)]
    assert presentation.content.startswith(f"{expected} slices of {{patient}}")


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_image_of_one_value_is_drawn(tmp_path: Path, value: float) -> None:
    case = phantom(tmp_path / "case", value=value)
    SlicePresentation(("ct",), REGIONS).draw(case, truth(), tmp_path / "picture.png", title="aster")
    assert (tmp_path / "picture.png").is_file()
