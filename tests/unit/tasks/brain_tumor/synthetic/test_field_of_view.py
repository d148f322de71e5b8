from collections.abc import Sequence

import numpy as np
import pytest

from consilium.tasks.brain_tumor.synthetic import CaseLayout, HospitalSpec, Label, make_patient
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.field_of_view import short_field
from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor

from .conftest import COARSE


def test_a_short_field_lacks_whole_slices_and_keeps_the_tumor(grown: Sequence[tuple[Head, Tumor]]) -> None:
    missing = []
    for head, tumor in grown:
        for seed in range(4):
            field = short_field(head.brain, tumor.label, head.spacing_mm, np.random.default_rng(seed))
            shown = field.any(axis=(0, 1))
            assert (field == head.brain & shown).all(), "slices are whole or missing"
            assert (tumor.label[field] > 0).sum() > 0.75 * (tumor.label > 0).sum()
            missing.append((head.brain.any(axis=(0, 1)).sum() - shown.sum()) * head.spacing_mm)
    assert max(missing) > 30, "mm"


@pytest.mark.long
@pytest.mark.parametrize(("share", "expected"), [(0.0, []), (0.5, [0, 2])])
def test_a_share_of_patients_is_cropped(atlas: Atlas, share: float, expected: list[int]) -> None:
    hospital = HospitalSpec(name="elder", layout=CaseLayout.BRATS_2021, cases=4, cropped=share)
    whole = hospital.model_copy(update={"cropped": 0.0})
    cropped = []
    for index in range(hospital.cases):
        patient, known = (make_patient(atlas, COARSE, one, index, 0) for one in (hospital, whole))
        shown = patient.images["t1"] > 0
        if not np.array_equal(shown, known.images["t1"] > 0):
            cropped.append(index)
            assert not (patient.label[~shown] != Label.BACKGROUND).any()
    assert cropped == expected
