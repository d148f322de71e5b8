"""What statistics find in real patients, in slabs of them, and in what they are when exchanged or mirrored.

Three patients are few: they show that a threshold is wrong, not that it is right. So what is found is a
warning, and an error only far beyond every value that was seen here.
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.hospital import read_native

from consilium.data.checks import Finding, Severity
from consilium.data.cohort import Cohort, read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.checks.brain import BrainView
from consilium.tasks.brain_tumor.checks.case import CHECKS

from .damage import IMAGES

REPOSITORY = Path(__file__).parents[5]
FOLDER = Path(os.environ.get("CONSILIUM_REAL_DATA") or REPOSITORY / "../shared/data/real")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.real_data,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"no real patients in {FOLDER}: set CONSILIUM_REAL_DATA to their folder"
    ),
]

WHOLE = ("TCGA-DU-7294", "TCGA-FG-6692")
SLAB = "BRATS_009"
SLAB_MM = 33
CUTS = (0.2, 0.45, 0.65)
PAIRS = tuple(itertools.combinations(IMAGES, 2))


@pytest.fixture(scope="module")
def patients() -> dict[str, BrainView]:
    cohort: Cohort = read_cohort(FOLDER, case_format=CASES)
    return {
        case.id: CHECKS.view(case, read_native(CASES, case, cohort.convention), IMAGES, cohort.convention)
        for case in cohort.cases
    }


def changed(view: BrainView, *, cut: float | None = None, labeled: bool = True, **images: str) -> BrainView:
    """The patient with other images under some names, as a slab from a share of the height, or unlabeled."""
    native = view.native
    length = native.images["t1"].shape[2]
    start = 0 if cut is None else int(cut * length)
    slab = np.s_[:, :, start : length if cut is None else start + SLAB_MM]
    return replace(
        view,
        native=replace(
            native,
            images={name: native.images[images.get(name, name)][slab] for name in IMAGES},
            reference=native.reference[slab] if labeled and native.reference is not None else None,
        ),
    )


def found_in(view: BrainView) -> list[Finding]:
    """What the checks find, as `check_case` counts it."""

    def groups() -> Iterator[Finding]:
        for group in CHECKS.groups:
            found = [one for check in group for one in check(view)]
            yield from found
            if any(one.casts_doubt for one in found):
                return

    return list(groups())


def by_statistics(view: BrainView) -> dict[str, Severity]:
    """What statistics found, with the worst severity of each code."""
    found = [one for one in found_in(view) if one.confidence is not None]
    return {
        code: min((one.severity for one in found if one.code.value == code), key=list(Severity).index)
        for code in {one.code.value for one in found}
    }


@pytest.mark.parametrize("labeled", [True, False], ids=["labeled", "unlabeled"])
@pytest.mark.parametrize("case_id", [*WHOLE, SLAB])
def test_statistics_find_nothing_in_what_is_right(patients, case_id, labeled):
    assert by_statistics(changed(patients[case_id], labeled=labeled)) == {}


@pytest.mark.parametrize("labeled", [True, False], ids=["labeled", "unlabeled"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case_id", WHOLE)
def test_nor_in_a_slab_of_it(patients, case_id, cut, labeled):
    view = changed(patients[case_id], cut=cut, labeled=labeled)
    assert by_statistics(view) == {}
    assert "partial_coverage" in {one.code.value for one in found_in(view)}


@pytest.mark.parametrize("labeled", [True, False], ids=["labeled", "unlabeled"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("case_id", WHOLE)
def test_two_exchanged_images_of_a_whole_brain_are_found_and_named(patients, case_id, pair, labeled):
    first, second = pair
    view = changed(patients[case_id], labeled=labeled, **{first: second, second: first})
    (finding,) = (one for one in found_in(view) if one.code.value == "swapped_modalities")
    assert set(finding.detail.removesuffix(".").split("; ")) == {
        f"{first} looks like {second}",
        f"{second} looks like {first}",
    }
    # Fluid that is bright in another image than T2 is overwhelming; the rest is to be looked at.
    assert finding.severity is (Severity.ERROR if "t2" in pair else Severity.WARNING)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_in_a_slab_only_an_exchange_with_t2_is_found_and_only_a_warning(patients, pair):
    first, second = pair
    found = by_statistics(changed(patients[SLAB], **{first: second, second: first}))
    assert found.get("swapped_modalities") is (Severity.WARNING if "t2" in pair else None)


def test_a_mirrored_label_is_overwhelming_in_a_whole_brain(patients):
    for case_id in WHOLE:
        native = patients[case_id].native
        view = replace(patients[case_id], native=replace(native, reference=native.reference[::-1]))
        assert by_statistics(view) == {"label_mirrored": Severity.ERROR}


def test_a_mirrored_label_in_a_slab_is_to_be_looked_at(patients):
    native = patients[SLAB].native
    view = replace(patients[SLAB], native=replace(native, reference=native.reference[::-1]))
    assert by_statistics(view) == {"label_mirrored": Severity.WARNING}


@pytest.mark.parametrize("case_id", [*WHOLE, SLAB])
def test_a_mirrored_patient_is_as_right_as_before(patients, case_id):
    native = patients[case_id].native
    mirrored = replace(
        native,
        images={name: image[::-1] for name, image in native.images.items()},
        reference=native.reference[::-1],
    )
    assert by_statistics(replace(patients[case_id], native=mirrored)) == {}


@pytest.mark.parametrize("millimeters", [10, -10])
@pytest.mark.parametrize("case_id", [*WHOLE, SLAB])
def test_a_shifted_label_is_to_be_looked_at(patients, case_id, millimeters):
    native = patients[case_id].native
    moved = np.roll(native.reference, millimeters, axis=0)
    found = by_statistics(replace(patients[case_id], native=replace(native, reference=moved)))
    assert found == {"label_shifted": Severity.WARNING}


@pytest.mark.parametrize("case_id", [*WHOLE, SLAB])
def test_exchanged_label_values_are_to_be_looked_at(patients, case_id):
    native = patients[case_id].native
    label = np.choose(native.reference, [0, 2, 1, 3, 4]).astype(np.uint8)
    found = by_statistics(replace(patients[case_id], native=replace(native, reference=label)))
    assert found == {"label_values_swapped": Severity.WARNING}


@pytest.mark.parametrize("case_id", WHOLE)
def test_an_image_far_from_the_others_is_overwhelming_and_a_little_off_is_not(patients, case_id):
    native = patients[case_id].native
    images = {name: np.pad(image, 15) for name, image in native.images.items()}
    native = replace(native, images=images, reference=np.pad(native.reference, 15))
    for millimeters, severity in ((4, Severity.WARNING), (12, Severity.ERROR)):
        images = {**native.images, "t2": np.roll(native.images["t2"], millimeters, axis=0)}
        found = by_statistics(replace(patients[case_id], native=replace(native, images=images)))
        assert found == {"not_registered": severity}


def test_a_voxel_size_that_is_a_little_too_large_makes_no_head(patients):
    native = patients[WHOLE[1]].native
    larger = replace(native, spacing_mm=tuple(1.15 * size for size in native.spacing_mm))
    found = {one.code.value: one.severity for one in found_in(replace(patients[WHOLE[1]], native=larger))}
    assert found.get("not_skull_stripped", Severity.WARNING) is Severity.WARNING
