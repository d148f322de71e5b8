from collections.abc import Sequence

import numpy as np
import pytest
from scipy import ndimage

from consilium.tasks.brain_tumor.synthetic import Scanner
from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.healthy_signs import HealthySigns, grow_healthy_signs
from consilium.tasks.brain_tumor.synthetic.signal import Specimen, make_specimen, signal_map
from consilium.tasks.brain_tumor.synthetic.tumor import Tumor

SCANNER = Scanner()


@pytest.fixture(scope="module")
def imaged(grown: Sequence[tuple[Head, Tumor]]) -> list[tuple[Head, Tumor, HealthySigns, Specimen]]:
    """Six patients with all that is bright in them."""
    patients = []
    for number, (head, tumor) in enumerate(grown):
        signs = grow_healthy_signs(head, np.random.default_rng(number))
        patients.append((head, tumor, signs, make_specimen(head, tumor, signs, np.random.default_rng(0))))
    return patients


def _median(image: np.ndarray, where: np.ndarray) -> float:
    return float(np.median(image[where]))


@pytest.mark.long
def test_shares_of_a_specimen_fill_the_brain(imaged) -> None:
    for head, _, _, specimen in imaged:
        total = sum(specimen.shares.values())
        assert np.abs(total[head.brain] - 1).max() < 0.5, "soft edges of a core don't add up exactly"
        assert np.abs(total[head.brain] - 1).mean() < 0.01


def test_gliosis_is_as_bright_as_edema_on_flair(imaged) -> None:
    inside, outside = [], []
    for head, tumor, signs, specimen in imaged:
        flair = signal_map(specimen, SCANNER.flair, tesla=SCANNER.tesla, agent=False)
        healthy = (tumor.label == 0) & (tumor.edema < 0.05) & (head.white > 0.8)
        spots = healthy & (signs.gliosis > 0.6)
        if spots.sum() >= 5:
            inside.append(_median(flair, spots))
            outside.append(_median(flair, healthy & (signs.gliosis < 0.05) & (signs.bright_gray < 0.1)))
    assert len(inside) >= 2
    assert (np.array(inside) > 1.2 * np.array(outside)).all()


def test_healthy_gray_matter_may_be_bright_on_flair(imaged) -> None:
    contrasts = []
    for head, tumor, signs, specimen in imaged:
        flair = signal_map(specimen, SCANNER.flair, tesla=SCANNER.tesla, agent=False)
        healthy = (tumor.label == 0) & (tumor.edema < 0.05) & (head.gray > 0.8) & (signs.gliosis < 0.05)
        bright = healthy & (signs.bright_gray > 0.5)
        if bright.sum() >= 20:
            usual = healthy & (signs.bright_gray < 0.05)
            contrasts.append(_median(flair, bright) / _median(flair, usual))
    assert len(contrasts) >= 4
    assert np.median(contrasts) > 1.08, contrasts


def test_vessels_light_up_with_contrast_agent(imaged) -> None:
    for head, tumor, signs, specimen in imaged:
        before, after = (
            signal_map(specimen, SCANNER.t1, tesla=SCANNER.tesla, agent=agent) for agent in (False, True)
        )
        vessels = head.brain & (tumor.label == 0) & (signs.vessel > 0.5)
        assert vessels.sum() > 20
        assert _median(after, vessels) > 1.3 * _median(before, vessels)


def test_no_sign_shines_through_a_core(imaged) -> None:
    for _, tumor, _, specimen in imaged:
        core = tumor.necrosis + tumor.solid + tumor.enhancing > 0.999
        for name in ("vessel", "gliosis", "bright_gray"):
            assert specimen.shares[name][core].max(initial=0) < 0.01, name


def test_nothing_but_tumor_is_bright_on_flair_beside_a_tumor(imaged) -> None:
    for head, tumor, signs, specimen in imaged:
        distance = ndimage.distance_transform_edt(tumor.label == 0, sampling=head.spacing_mm)
        beside, far = (distance > 0) & (distance <= 3), head.brain & (distance > 15)
        for name in ("gliosis", "bright_gray"):
            share, grown = specimen.shares[name], getattr(signs, name)
            assert share[beside].mean() < 0.3 * grown[beside].mean() + 0.01, name
            assert share[far].mean() > 0.7 * (grown * (1 - head.csf))[far].mean(), name
