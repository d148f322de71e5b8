import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.synthetic import CaseLayout, CohortSpec, make_cohort


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _payloads(folder: Path) -> dict[str, bytes]:
    """Every image's voxels, by path."""
    import nibabel as nib

    return {
        str(path.relative_to(folder)): nib.load(path).dataobj.get_unscaled().tobytes()
        for path in sorted(folder.rglob("*.nii.gz"))
    }


def test_each_case_is_reported_as_it_is_made(tmp_path: Path, one_of_each: CohortSpec) -> None:
    seen: list[tuple[int, int, str]] = []
    alone = make_cohort(
        one_of_each, tmp_path / "alone", progress=lambda done, total, case: seen.append((done, total, case))
    )
    assert seen == [
        (1, 4, "aster/BraTS2021_00000"),
        (2, 4, "birch/BraTS20_Training_001"),
        (3, 4, "cedar/BRATS_001"),
        (4, 4, "dahlia/BraTS-GLI-00000-000"),
    ]
    assert alone.written == 4
    assert alone.hospitals["cedar"] == tmp_path / "alone" / "cedar"
    assert {path.name for path in alone.folder.iterdir()} == {"cohort.json", *alone.hospitals}


@pytest.mark.integration
def test_two_workers_make_what_one_makes(tmp_path: Path, one_of_each: CohortSpec) -> None:
    make_cohort(one_of_each, tmp_path / "alone")
    make_cohort(one_of_each, tmp_path / "both", workers=2)
    assert _payloads(tmp_path / "alone") == _payloads(tmp_path / "both")


@pytest.mark.long
def test_a_complete_cohort_is_left_alone(tmp_path: Path, two_cases: CohortSpec) -> None:
    make_cohort(two_cases, tmp_path)
    before = _contents(tmp_path)
    assert make_cohort(two_cases, tmp_path).written == 0
    assert _contents(tmp_path) == before


def test_an_interrupted_cohort_is_completed(tmp_path: Path, two_cases: CohortSpec) -> None:
    def interrupt(done: int, total: int, case: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_cohort(two_cases, tmp_path, progress=interrupt)
    assert json.loads((tmp_path / "cohort.json").read_text())["complete"] is False
    first = _contents(tmp_path / "aster")
    assert len(first) == 5, "one whole case"

    assert make_cohort(two_cases, tmp_path).written == 1
    assert json.loads((tmp_path / "cohort.json").read_text())["complete"] is True
    after = _contents(tmp_path / "aster")
    assert len(after) == 10
    assert after.items() >= first.items()


@pytest.mark.long
def test_a_hospital_does_not_depend_on_the_others(
    tmp_path: Path, one_of_each: CohortSpec, two_cases: CohortSpec
) -> None:
    cedar = one_of_each.model_copy(update={"hospitals": one_of_each.hospitals[2:3]})
    pair = one_of_each.model_copy(update={"hospitals": one_of_each.hospitals[1:3]})
    make_cohort(cedar, tmp_path / "cedar_only")
    make_cohort(pair, tmp_path / "pair")
    assert _payloads(tmp_path / "cedar_only" / "cedar") == _payloads(tmp_path / "pair" / "cedar")


def test_a_foreign_folder_is_rejected_and_untouched(tmp_path: Path, two_cases: CohortSpec) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="is not a cohort"):
        make_cohort(two_cases, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.long
def test_another_cohorts_folder_is_rejected(tmp_path: Path, two_cases: CohortSpec) -> None:
    make_cohort(two_cases, tmp_path)
    with pytest.raises(ConfigurationError, match="another specification"):
        make_cohort(two_cases.model_copy(update={"seed": 8}), tmp_path)


@pytest.mark.long
def test_a_cohort_of_before_a_setting_was_added_is_the_same(tmp_path: Path, two_cases: CohortSpec) -> None:
    make_cohort(two_cases, tmp_path)
    marker = json.loads((tmp_path / "cohort.json").read_text())
    for hospital in marker["spec"]["hospitals"]:
        del hospital["label_margin_mm"]
    (tmp_path / "cohort.json").write_text(json.dumps(marker))
    assert make_cohort(two_cases, tmp_path).written == 0
    moved = two_cases.hospitals[0].model_copy(update={"label_margin_mm": 1.0})
    with pytest.raises(ConfigurationError, match="another specification"):
        make_cohort(two_cases.model_copy(update={"hospitals": (moved,)}), tmp_path)


def test_no_workers_is_rejected(tmp_path: Path, two_cases: CohortSpec) -> None:
    with pytest.raises(ConfigurationError, match="workers is 0"):
        make_cohort(two_cases, tmp_path, workers=0)


def test_hospitals_of_the_same_name_are_rejected(two_cases: CohortSpec) -> None:
    twin = {"name": "aster", "layout": CaseLayout.DECATHLON, "cases": 1}
    with pytest.raises(ValidationError, match="names must differ"):
        CohortSpec.model_validate({"hospitals": [two_cases.hospitals[0].model_dump(), twin]})
