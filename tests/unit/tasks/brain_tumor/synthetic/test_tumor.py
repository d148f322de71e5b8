from collections.abc import Sequence

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic import Label, TumorMix
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.head import Head, grow_head
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor, grow_tumor, plan_tumor

from .conftest import COARSE

Patients = Sequence[tuple[Head, Tumor]]


def test_tumor_lies_in_the_brain(grown: Patients) -> None:
    for head, tumor in grown:
        assert head.brain[tumor.label > 0].all()


def test_tumor_does_not_cross_the_tentorium(grown: Patients) -> None:
    for head, tumor in grown:
        assert head.cerebrum[tumor.label > 0].all()
        assert 0.75 < head.cerebrum.sum() / head.brain.sum() < 0.95, "a cerebrum is most of a brain"


def test_whole_tumor_has_a_gliomas_volume(grown: Patients) -> None:
    for head, tumor in grown:
        assert 15 < (tumor.label > 0).sum() * head.spacing_mm**3 / 1000 < 165


def test_edema_spreads_in_white_matter_and_spares_csf(grown: Patients) -> None:
    for head, tumor in grown:
        edema = tumor.label == Label.EDEMA
        assert head.white[edema].mean() > 0.55
        assert head.white[edema].mean() > 1.3 * head.white[head.brain].mean()
        assert (head.csf[edema] < 0.5).all()


def test_tumor_stays_mostly_on_its_side(grown: Patients) -> None:
    for head, tumor in grown:
        side = head.side_mm[tumor.label > 0]
        assert max((side > 0).mean(), (side < 0).mean()) > 0.9


def test_enhancing_rim_lies_between_necrosis_and_edema(grown: Patients) -> None:
    for _, tumor in grown:
        core, rim = (
            np.isin(tumor.label, (Label.NECROTIC_CORE, Label.ENHANCING)),
            tumor.label == Label.ENHANCING,
        )
        shell = core & ~ndimage.binary_erosion(core)
        assert rim[shell].mean() > 0.6, "most of the core's surface enhances"
        depth = ndimage.distance_transform_edt(core)
        assert depth[rim].mean() < depth[core & ~rim].mean(), "what does not enhance lies deeper"


@pytest.mark.long
def test_low_grade_glioma_has_a_core_but_no_enhancement(atlas: Atlas) -> None:
    rng = np.random.default_rng(1)
    plan = plan_tumor(atlas, TumorMix(), enhancing=False, rng=rng)
    tumor = grow_tumor(grow_head(atlas, COARSE, plan.mass, rng), plan, rng)
    assert set(np.unique(tumor.label)) == {Label.BACKGROUND, Label.NECROTIC_CORE, Label.EDEMA}
    assert not tumor.enhancing.any()
    assert not tumor.necrosis.any()


@pytest.mark.parametrize(("size", "low", "high"), [("small", 20, 45), ("medium", 45, 90), ("large", 90, 150)])
def test_mix_decides_the_size(atlas: Atlas, size: str, low: float, high: float) -> None:
    mix = TumorMix(**{"small": 0, "medium": 0, "large": 0, size: 1})
    rng = np.random.default_rng(2)
    volumes = [plan_tumor(atlas, mix, enhancing=True, rng=rng).whole_ml for _ in range(5)]
    assert all(low <= volume <= high for volume in volumes)


def test_mix_without_weight_is_rejected() -> None:
    with pytest.raises(ValidationError, match="all three weights are 0"):
        TumorMix(small=0, medium=0, large=0)
