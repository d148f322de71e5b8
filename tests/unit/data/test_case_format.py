"""A problem of another kind: photographs of both eyes, and a grade of each patient in a CSV."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from pydantic import BaseModel

import consilium.data
from consilium.data.cache import CaseCache, attach
from consilium.data.cached_case import CachedCase, UnreadableCase
from consilium.data.case import Case, CaseError, ImageFile
from consilium.data.case_format import FoundCases, TargetReading
from consilium.data.case_preparation import Examination, PreparationSettings, Prepared
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.data.cohort_pass import process_cases
from consilium.data.finding import Finding
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError
from consilium.learning.processes.messages import CASES as CASES_AS_JSON

EYES = ("left", "right")
GRADES = "grades.csv"


class EyeSettings(PreparationSettings):
    scale: int


class EyeMeta(BaseModel):
    grade: int | None


@dataclass(frozen=True)
class EyeCase(CachedCase):
    @property
    def photos(self):
        return self.array("photos")

    @property
    def grade(self):
        return self.meta["grade"]


@dataclass(frozen=True)
class EyeFolder:
    folder: Path
    files: tuple[Path, ...]
    layout: str = "photos"

    def find(self):
        grades = {}
        if (self.folder / GRADES).is_file():
            with (self.folder / GRADES).open() as file:
                grades = {row["id"]: int(row["grade"]) for row in csv.DictReader(file)}
        photos = {}
        for path in self.files:
            if found := re.fullmatch(rf"(.+)_({'|'.join(EYES)})\.npy", path.name):
                photos.setdefault(found[1], {})[found[2]] = ImageFile(path)
        cases = [
            Case(id=one, patient=one, images={eye: found[eye] for eye in EYES}, target=grades.get(one))
            for one, found in photos.items()
            if set(found) == set(EYES)
        ]
        problems = [
            Finding(case_id=one, code=DataCode.MISSING_IMAGE, detail="An eye is missing.")
            for one, found in photos.items()
            if set(found) < set(EYES)
        ]
        return FoundCases(tuple(cases), tuple(problems))

    def read_targets(self, cases, *, convention, index, progress=None):
        wrong = [one for one in cases if not 0 <= one.target <= 4]
        problems = [
            Finding(case_id=one.id, code=DataCode.UNREADABLE, detail=f"{one.target} is no grade.")
            for one in wrong
        ]
        return TargetReading(True, problems=tuple(problems))


@dataclass(frozen=True)
class EyeFormat:
    name: ClassVar[str] = "eyes"
    inputs: ClassVar[tuple[str, ...]] = ("photo",)
    may_lack: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[tuple[str, ...]] = ("photos",)
    conventions: ClassVar[tuple[str, ...]] = ()
    case_type: ClassVar[type] = EyeCase
    settings_type: ClassVar[type] = EyeSettings

    def preparation(self, job):
        return EyeSettings(scale=job.scale)

    def lacking(self, inputs):
        raise ConfigurationError("a case is its one photograph")

    def check_endings(self, endings):
        if endings:
            raise ConfigurationError("photographs have fixed names")

    def open_folder(self, folder, files, endings):
        return EyeFolder(folder, tuple(files))

    def examine(self, case, convention, read):
        arrays = {}
        for eye, image in case.images.items():
            content = read(image.path)
            if len(content) != 12:
                problem = Finding(
                    case_id=case.id, code=DataCode.TRUNCATED, detail=f"{image.path} is cut.", image=eye
                )
                return Examination((problem,), files=arrays)
            arrays[eye] = np.frombuffer(content, np.uint8)
        return Examination(native=(arrays, case.target))

    def prepare(self, native, settings):
        arrays, grade = native
        photos = np.stack([arrays[eye] for eye in EYES]).astype(np.float32) * settings.scale
        return Prepared({"photos": photos}, EyeMeta(grade=grade), labeled=grade is not None)


FORMAT = EyeFormat()
SETTINGS = EyeSettings(scale=2)


@pytest.fixture
def practice(tmp_path):
    """Three patients, one of them without a grade."""
    folder = tmp_path / "practice"
    folder.mkdir()
    for number, patient in enumerate("ABC"):
        for eye in EYES:
            photo(folder, patient, eye, number + (10 if eye == "right" else 0))
    (folder / GRADES).write_text("id,grade\nA,0\nB,4\n")
    return folder


def photo(folder, patient, eye, value):
    (folder / f"{patient}_{eye}.npy").write_bytes(bytes([value]) * 12)


def cached(practice, folder, settings=SETTINGS):
    cohort = read_cohort(practice, case_format=FORMAT)
    return CaseCache(folder, case_format=FORMAT, settings=settings).prepare(cohort)


def test_cases_of_several_images_and_a_class_are_found_and_prepared(practice, tmp_path):
    cohort = read_cohort(practice, case_format=FORMAT)
    assert (cohort.layout, cohort.convention, cohort.labels, cohort.problems) == ("photos", None, 2, ())
    assert [(case.id, case.target, case.labeled) for case in cohort.cases] == [
        ("A", 0, True),
        ("B", 4, True),
        ("C", None, False),
    ]
    cases = cached(practice, tmp_path / "cache").cases
    assert [(type(case), case.grade, case.labeled) for case in cases] == [
        (EyeCase, 0, True),
        (EyeCase, 4, True),
        (EyeCase, None, False),
    ]
    assert cases[1].photos.tolist() == [[2] * 12, [22] * 12]


def test_what_is_wrong_with_a_case_or_its_class_leaves_it_out(practice, tmp_path):
    (practice / "A_left.npy").write_bytes(b"cut")
    (practice / "C_right.npy").unlink()
    (practice / GRADES).write_text("id,grade\nA,0\nB,7\n")
    prepared = cached(practice, tmp_path / "cache")
    assert prepared.cases == ()
    assert [(one.case_id, one.code) for one in prepared.problems] == [
        ("A", DataCode.TRUNCATED),
        ("B", DataCode.UNREADABLE),
        ("C", DataCode.MISSING_IMAGE),
    ]


def test_each_file_is_read_once_and_a_pass_recalls_what_is_kept(practice, tmp_path, monkeypatch):
    examined, examine = [], EyeFormat.examine

    def counting(self, case, convention, read):
        examined.append(case.id)
        return examine(self, case, convention, read)

    monkeypatch.setattr(EyeFormat, "examine", counting)
    cache = CaseCache(tmp_path / "cache", case_format=FORMAT, settings=SETTINGS)
    for expected in (["A", "B", "C"], ["A", "B", "C"]):
        cohort = read_cohort(practice, case_format=FORMAT)
        made = process_cases(cohort, (cache,), case_format=FORMAT, index=SourceIndex(tmp_path / "cache"))
        assert sorted(made.of(cache)) == ["A", "B", "C"]
        assert examined == expected


@pytest.mark.parametrize("change", ["class", "file", "setting", "problem"])
def test_another_class_file_setting_or_problem_is_another_entry(practice, tmp_path, change, monkeypatch):
    before = {case.id: case.folder for case in cached(practice, tmp_path / "cache").cases}
    if change == "class":
        (practice / GRADES).write_text("id,grade\nA,1\nB,4\n")
    elif change == "file":
        photo(practice, "A", "left", 99)
    elif change == "problem":
        monkeypatch.setattr(EyeFormat, "name", "other eyes")
    settings = EyeSettings(scale=3) if change == "setting" else SETTINGS
    after = {case.id: case.folder for case in cached(practice, tmp_path / "cache", settings).cases}
    assert after["A"] != before["A"]
    assert (after["B"] == before["B"]) == (change in ("class", "file"))


def test_a_damaged_entry_is_made_again_also_in_a_process_that_got_the_case_as_json(practice, tmp_path):
    case = cached(practice, tmp_path / "cache").cases[1]
    expected = case.photos.tolist()
    (case.folder / "photos.npy").write_bytes(b"damaged")
    (elsewhere,) = attach(CASES_AS_JSON.validate_json(CASES_AS_JSON.dump_json((case,))), FORMAT)
    assert (type(elsewhere), elsewhere.photos.tolist()) == (EyeCase, expected)
    photo(practice, "B", "left", 99)
    (case.folder / "photos.npy").write_bytes(b"damaged")
    with pytest.raises(UnreadableCase, match="the files that it was made of have changed"):
        _ = case.photos


def test_a_convention_that_the_problem_does_not_have_is_rejected(practice):
    with pytest.raises(ConfigurationError, match="eyes has no label convention named 'brats-2018'"):
        read_cohort(practice, case_format=FORMAT, convention="brats-2018")


def test_a_case_that_cannot_be_read_raises_its_first_problem():
    problem = Finding(case_id="A", code=DataCode.TRUNCATED, detail="It is cut.")
    with pytest.raises(CaseError) as caught:
        Examination((problem,)).require_native()
    assert caught.value.problem == problem


PARTICULAR = re.compile(
    r"(?<![a-z])(brain|tumou?r|gliom\w*|flair|t1|t1ce|t2|brats|tissues?|edema|head|skull|lung|retina|"
    r"nifti|hounsfield|affine|dice|hd95)(?![a-z])",
    re.IGNORECASE,
)


def test_what_is_shared_names_nothing_of_a_problem():
    folder = Path(consilium.data.__file__).parent
    found = {
        f"{path.relative_to(folder)}: {word}"
        for path in folder.rglob("*.py")
        for word in PARTICULAR.findall(path.read_text())
    }
    assert found == set()
