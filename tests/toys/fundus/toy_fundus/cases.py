"""Cases: `<id>_left.png` and `<id>_right.png` of each patient, and `grades.csv` with columns id and grade."""

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image
from pydantic import BaseModel

from consilium.data.cached_case import CachedCase
from consilium.data.case import Case, FolderError, ImageFile
from consilium.data.case_check import CaseCheck, ImageSize
from consilium.data.case_format import FoundCases, TargetReading
from consilium.data.case_preparation import Examination, PreparationSettings, Prepared
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode, error, warning
from consilium.errors import ConfigurationError

EYES = ("left", "right")
GRADES = range(5)
GRADES_FILE = "grades.csv"
_DARK = 10


class FundusCode(ProblemCode):
    """What can be wrong with photographs and grades."""

    BAD_GRADE = error("bad_grade", "no grade from 0 to 4", f"Correct the grade in {GRADES_FILE}.")
    DARK_PHOTO = warning("dark_photo", "photograph almost black", "Look at it, and repeat it.")


class PhotoSettings(PreparationSettings):
    """What preparing depends on: the edge of the square photographs that the network sees."""

    edge_pixels: int


class Grade(BaseModel):
    """What is kept beside the photographs."""

    grade: int | None


@dataclass(frozen=True)
class Photos:
    """A case as its files hold it: photographs `(H, W, 3)`, uint8, by eye."""

    images: dict[str, np.ndarray]
    grade: int | None


@dataclass(frozen=True)
class FundusFolder:
    """A folder of photographs and, unless nobody graded them, `grades.csv`."""

    photos: dict[str, dict[str, ImageFile]]
    grades: dict[str, int]
    understood: frozenset
    unknown: tuple
    layout: str = "photographs"

    def find(self):
        problems = [
            Finding(case_id=one, code=DataCode.MISSING_IMAGE, detail=f"No {eye} eye.", image=eye)
            for one, found in self.photos.items()
            for eye in EYES
            if eye not in found
        ]
        cases = [
            Case(id=one, patient=one, images={eye: found[eye] for eye in EYES}, target=self.grades.get(one))
            for one, found in sorted(self.photos.items())
            if len(found) == len(EYES)
        ]
        return FoundCases(tuple(cases), tuple(problems), understood=self.understood, unknown=self.unknown)

    def read_targets(self, cases, *, convention, index, progress=None):
        wrong = [
            Finding(case_id=one.id, code=FundusCode.BAD_GRADE, detail=f"Its grade in {GRADES_FILE} is none.")
            for one in cases
            if one.target not in GRADES
        ]
        return TargetReading(True, problems=tuple(wrong))


class PhotoCheck(CaseCheck):
    """What is kept of a case that was checked: the size of its photographs, too."""

    pixels: tuple[int, int] | None = None

    @property
    def image_size(self):
        return ImageSize(self.pixels) if self.pixels else None


class PhotoChecks:
    """What is checked in a case; patients are distinguished by the content of their photographs alone."""

    version, check_type = "1", PhotoCheck

    def check(self, case, convention, inputs, examination):
        images = examination.native.images if examination.native else {}
        dark = [
            Finding(case_id=case.id, code=FundusCode.DARK_PHOTO, detail=f"The {eye} eye is.", image=eye)
            for eye, photo in images.items()
            if photo.mean() < _DARK
        ]
        digests = {eye: hashlib.blake2b(photo.tobytes()).hexdigest() for eye, photo in images.items()}
        pixels = next((photo.shape[:2] for photo in images.values()), None)
        return PhotoCheck(read=examination.problems, seen=(tuple(dark),), images=digests, pixels=pixels)

    def against_job(self, checks, learning):
        return iter(())

    def alike(self, appearances):
        return iter(())

    def same(self, one, other):
        return False


@dataclass(frozen=True)
class FundusCases:
    """A `CaseFormat`."""

    name: ClassVar[str] = "fundus"
    inputs: ClassVar[tuple[str, ...]] = EYES
    may_lack: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[tuple[str, ...]] = (FundusFolder.layout,)
    conventions: ClassVar[tuple[str, ...]] = ()
    checks: ClassVar[PhotoChecks] = PhotoChecks()
    case_type: ClassVar[type[CachedCase]] = CachedCase
    settings_type: ClassVar[type[PhotoSettings]] = PhotoSettings

    def preparation(self, job):
        return PhotoSettings(edge_pixels=job.edge_pixels)

    def lacking(self, inputs):
        raise ConfigurationError("a grade takes the photographs of both eyes")

    def check_endings(self, endings):
        if endings:
            raise ConfigurationError("photographs have fixed names: <id>_left.png and <id>_right.png")

    def open_folder(self, folder, files, endings):
        self.check_endings(endings)
        photos, understood = {}, set()
        for path in files:
            if named := re.fullmatch(rf"(.+)_({'|'.join(EYES)})\.png", path.name):
                photos.setdefault(named[1], {})[named[2]] = ImageFile(path)
                understood.add(path)
        if not photos:
            raise FolderError(DataCode.UNKNOWN_LAYOUT, f"{folder}: no file is named <id>_left.png.")
        grades = {}
        if (folder / GRADES_FILE) in files:
            understood.add(folder / GRADES_FILE)
            with (folder / GRADES_FILE).open(newline="", encoding="utf-8") as file:
                said = {row["id"]: row["grade"].strip() for row in csv.DictReader(file)}
            grades = {one: int(text) if text.isdecimal() else -1 for one, text in said.items() if text}
        unknown = tuple(path for path in files if path.suffix == ".png" and path not in understood)
        return FundusFolder(photos, grades, frozenset(understood), unknown)

    def examine(self, case, convention, read):
        images, problems = {}, []
        for eye, file in case.images.items():
            content = read(file.path)
            try:
                with Image.open(io.BytesIO(content), formats=["PNG"]) as photo:
                    images[eye] = np.asarray(photo.convert("RGB"))
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                detail = f"{file.path} is no whole PNG."
                problems.append(Finding(case_id=case.id, code=DataCode.TRUNCATED, detail=detail, image=eye))
        native = None if problems else Photos(images, case.target)
        return Examination(tuple(problems), native)

    def prepare(self, native, settings):
        square = (settings.edge_pixels, settings.edge_pixels)
        photos = [np.asarray(Image.fromarray(native.images[eye]).resize(square)) for eye in EYES]
        array = np.ascontiguousarray(np.stack(photos).transpose(0, 3, 1, 2))
        return Prepared({"photos": array}, Grade(grade=native.grade), labeled=native.grade is not None)
