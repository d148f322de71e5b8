import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from consilium.tasks.brain_tumor.synthetic import CaseLayout, Label
from consilium.tasks.brain_tumor.synthetic.scanner import MODALITIES
from consilium.tasks.brain_tumor.synthetic.writers import case_name, finish_hospital, write_case

SHAPE = (6, 5, 4)
SPACING = 2.0
AT = {Label.NECROTIC_CORE: (1, 1, 1), Label.EDEMA: (2, 1, 1), Label.ENHANCING: (3, 2, 1)}


@pytest.fixture
def label() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    for meaning, voxel in AT.items():
        label[voxel] = meaning
    return label


@pytest.fixture
def images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {modality: rng.integers(1, 999, SHAPE).astype(np.int16) for modality in MODALITIES}


def _upright(path: Path) -> np.ndarray:
    """What lies in a file, turned to right, anterior, superior by its own affine."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)


@pytest.mark.parametrize(
    ("layout", "case", "names", "enhancing"),
    [
        (CaseLayout.BRATS_2020, "BraTS20_Training_003", ("_t1", "_t1ce", "_t2", "_flair", "_seg"), 4),
        (CaseLayout.BRATS_2021, "BraTS2021_00002", ("_t1", "_t1ce", "_t2", "_flair", "_seg"), 4),
        (CaseLayout.BRATS_2023, "BraTS-GLI-00002-000", ("-t1n", "-t1c", "-t2w", "-t2f", "-seg"), 3),
    ],
)
def test_brats(
    tmp_path: Path, images, label, layout: CaseLayout, case: str, names: tuple[str, ...], enhancing: int
) -> None:
    assert case_name(layout, 2) == case
    write_case(layout, tmp_path, case, images, label, SPACING)
    assert {path.name for path in (tmp_path / case).iterdir()} == {f"{case}{name}.nii.gz" for name in names}
    for modality, name in zip(MODALITIES, names[:4], strict=True):
        np.testing.assert_array_equal(_upright(tmp_path / case / f"{case}{name}.nii.gz"), images[modality])
    stored = nib.load(tmp_path / case / f"{case}{names[4]}.nii.gz")
    assert nib.aff2axcodes(stored.affine) == ("L", "P", "S")
    assert stored.header.get_zooms() == (SPACING,) * 3
    found = _upright(tmp_path / case / f"{case}{names[4]}.nii.gz")
    assert [found[AT[m]] for m in (Label.NECROTIC_CORE, Label.EDEMA, Label.ENHANCING)] == [1, 2, enhancing]


def test_decathlon(tmp_path: Path, images, label) -> None:
    case = case_name(CaseLayout.DECATHLON, 0)
    assert case == "BRATS_001"
    write_case(CaseLayout.DECATHLON, tmp_path, case, images, label, SPACING)
    finish_hospital(CaseLayout.DECATHLON, tmp_path, [case])

    channels = _upright(tmp_path / "imagesTr" / "BRATS_001.nii.gz")
    for channel, modality in enumerate(("flair", "t1", "t1ce", "t2")):
        np.testing.assert_array_equal(channels[..., channel], images[modality])
    found = _upright(tmp_path / "labelsTr" / "BRATS_001.nii.gz")
    assert [found[AT[m]] for m in (Label.EDEMA, Label.NECROTIC_CORE, Label.ENHANCING)] == [1, 2, 3]
    listing = json.loads((tmp_path / "dataset.json").read_text())
    assert listing["numTraining"] == 1
    for path in listing["training"][0].values():
        assert (tmp_path / path).is_file()
