from collections.abc import Sequence

import numpy as np
import pytest
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, CaseLayout, HospitalSpec, Label, make_patient
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.healthy_signs import HealthySigns, grow_healthy_signs
from consilium.tasks.brain_tumor.synthetic.resection import resect
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor

from .conftest import COARSE

Operation = tuple[tuple[Head, Tumor], tuple[Head, Tumor, HealthySigns]]


@pytest.fixture(scope="module")
def operations(grown: Sequence[tuple[Head, Tumor]]) -> list[Operation]:
    """Each patient before and after an operation."""
    made = []
    for seed, (head, tumor) in enumerate(grown):
        rng = np.random.default_rng(seed)
        made.append(((head, tumor), resect(head, tumor, grow_healthy_signs(head, rng), rng)))
    return made


def _core(tumor: Tumor) -> np.ndarray:
    return (tumor.label == Label.NECROTIC_CORE) | (tumor.label == Label.ENHANCING)


def _cavity(before: Head, after: Head) -> np.ndarray:
    """Where an operation has left fluid."""
    return (after.csf > 0.7) & (before.csf < 0.4)


def test_most_of_the_core_is_removed_and_some_of_it_is_left(operations: list[Operation]) -> None:
    for (_, before), (_, after, _) in operations:
        left = _core(after).sum() / _core(before).sum()
        assert 0 < left < 0.5
        assert not (_core(after) & ~_core(before)).any(), "an operation makes no new core"


def test_a_cavity_is_one_space_that_opens_at_the_surface(operations: list[Operation]) -> None:
    for (head, _), (emptied, _, _) in operations:
        cavity = _cavity(head, emptied)
        assert cavity.sum() * head.spacing_mm**3 / 1000 > 3, "mL"
        parts, _ = ndimage.label(ndimage.binary_closing(cavity))
        assert np.bincount(parts.ravel())[1:].max() > 0.8 * cavity.sum()
        outside = ndimage.distance_transform_edt(head.brain, sampling=head.spacing_mm)
        assert outside[emptied.csf - head.csf > 0.1].min() <= 2 * head.spacing_mm


def test_what_is_left_lies_deeper_than_what_is_removed(operations: list[Operation]) -> None:
    for (head, before), (_, after, _) in operations:
        depth = ndimage.distance_transform_edt(head.brain, sampling=head.spacing_mm)
        assert depth[_core(after)].mean() > depth[_core(before) & ~_core(after)].mean()


def test_nothing_but_fluid_is_in_a_cavity(operations: list[Operation]) -> None:
    for (head, _), (emptied, tumor, healthy) in operations:
        cavity = ndimage.binary_erosion(_cavity(head, emptied))
        assert not (tumor.label[cavity] > 0).any()
        for share in (tumor.solid, tumor.enhancing, tumor.edema, *vars(healthy).values()):
            assert share[cavity].max(initial=0) < 0.3
        total = emptied.gray + emptied.white + emptied.csf
        np.testing.assert_allclose(total[head.brain], 1, atol=1e-3)


def test_gliosis_and_a_thin_line_of_scar_lie_around_a_cavity(operations: list[Operation]) -> None:
    lit = []
    for (head, before), (emptied, tumor, _) in operations:
        cavity = _cavity(head, emptied)
        distance = ndimage.distance_transform_edt(~cavity, sampling=head.spacing_mm)
        wall = (distance > 0) & (distance <= head.spacing_mm) & (head.white > 0.6) & ~_core(before)
        assert (tumor.label[wall] == Label.EDEMA).mean() > 0.6
        apart = ndimage.distance_transform_edt(~_core(before), sampling=head.spacing_mm) > 2 * head.spacing_mm
        scar = (tumor.enhancing > 0.1) & apart
        assert (tumor.label[scar] != Label.ENHANCING).all(), "scar is no tumor"
        assert distance[scar].max(initial=0) < 3 * head.spacing_mm
        lit.append(scar.any())
    assert any(lit)


@pytest.mark.long
def test_a_cavity_is_dark_on_flair_and_bright_on_t2(atlas: Atlas) -> None:
    for demo in DEMO_COHORT.hospitals:
        plain, operated = (
            make_patient(atlas, COARSE, demo.model_copy(update={"resected": share}), 0, 3)
            for share in (0.0, 1.0)
        )
        inside = np.isin(plain.label, [Label.NECROTIC_CORE, Label.ENHANCING])
        cavity = ndimage.binary_erosion(inside & (operated.label == Label.BACKGROUND))
        healthy = (operated.images["t1"] > 0) & (plain.label == Label.BACKGROUND)
        images = operated.images
        assert np.median(images["flair"][cavity]) < 0.7 * np.median(images["flair"][healthy]), demo.name
        assert np.median(images["t2"][cavity]) > 1.4 * np.median(images["t2"][healthy]), demo.name


@pytest.mark.long
@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.5, [1, 3]),
        *(pytest.param(*one, marks=pytest.mark.long) for one in ((0.0, []), (1.0, [0, 1, 2, 3]))),
    ],
)
def test_only_a_share_of_patients_is_operated_on(atlas: Atlas, share: float, expected: list[int]) -> None:
    """The others are the patients of a hospital without operations, voxel by voxel."""
    hospital = HospitalSpec(name="elder", layout=CaseLayout.BRATS_2021, cases=4, resected=share)
    before = HospitalSpec(name="elder", layout=CaseLayout.BRATS_2021, cases=4)
    operated = []
    for index in range(hospital.cases):
        patient, known = (make_patient(atlas, COARSE, one, index, 0) for one in (hospital, before))
        if not np.array_equal(patient.label, known.label):
            operated.append(index)
            continue
        for modality, image in patient.images.items():
            assert image.tobytes() == known.images[modality].tobytes()
    assert operated == expected
