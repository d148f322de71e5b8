"""Input of a run: the cases of a folder, labeled or not, or one case whose files are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Final

from consilium.data.case import Case, ImageFile
from consilium.data.case_format import CaseFormat
from consilium.data.codes import DataCode
from consilium.data.cohort import Cohort, find_cases, read_cohort
from consilium.data.finding import Finding
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError

NAMED_FILES: Final = "named files"
"""Layout of a case whose files were named one by one."""


def find_inputs(
    given: Path | Mapping[str, Path],
    case_format: CaseFormat,
    *,
    file_endings: Mapping[str, Sequence[str]] | None = None,
) -> Cohort:
    """Find the cases to predict, without any target.

    Args:
        given: A folder of cases or of one case, an image where the task takes a single one, or the name of
            each image of one case to its file.
        case_format: Of the model's task.
        file_endings: Endings of file names beside the known ones.

    Raises:
        DataError: The folder can't be read, or its files lie in no known way.
        ConfigurationError: Images are missing, or named that the task doesn't take.
    """
    if isinstance(given, Path) and not given.is_file():
        found = find_cases(given, case_format=case_format, file_endings=file_endings)
        return replace(found, problems=tuple(_name_images(found, case_format.inputs)))
    if isinstance(given, Path):
        if len(case_format.inputs) > 1:
            examples = " ".join(f"-i {name}=FILE" for name in case_format.inputs)
            raise ConfigurationError(
                f"{given} is one file, and a case of {case_format.name} has "
                f"{', '.join(case_format.inputs)}; name a folder, or each image: {examples}"
            )
        given = {case_format.inputs[0]: given}
    return _named_case(given, case_format)


def find_labeled_inputs(
    folder: Path,
    case_format: CaseFormat,
    *,
    index: SourceIndex,
    convention: str | None = None,
    patients_file: Path | None = None,
    file_endings: Mapping[str, Sequence[str]] | None = None,
) -> Cohort:
    """Find the labeled cases of a folder; one without a label is a problem.

    Args:
        folder: The dataset folder, or the folder of one case.
        case_format: Of the model's task.
        index: What is known of the files.
        convention: What the values of labels mean, as the hospital says; default: names and values decide.
        patients_file: Which cases are of one patient.
        file_endings: Endings of file names beside the known ones.

    Raises:
        DataError: The folder can't be read, its files lie in no known way, or its labels are ambiguous.
        ConfigurationError: The convention is unknown.
    """
    found = read_cohort(
        folder,
        case_format=case_format,
        convention=convention,
        patients_file=patients_file,
        file_endings=file_endings,
        index=index,
    )
    unlabeled = [
        Finding(case_id=case.id, code=DataCode.UNLABELED, detail=f"{case.place} has no label.")
        for case in found.cases
        if not case.labeled
    ]
    problems = [*_name_images(found, case_format.inputs), *unlabeled]
    return replace(
        found,
        cases=tuple(case for case in found.cases if case.labeled),
        problems=tuple(sorted(problems, key=lambda problem: problem.case)),
        left_out=tuple(case for case in found.left_out if set(case_format.inputs) - case.images.keys()),
    )


def _named_case(files: Mapping[str, Path], case_format: CaseFormat) -> Cohort:
    wanted = case_format.inputs
    absent = [one for one in wanted if one not in files]
    missing, unknown = [one for one in absent if one not in case_format.may_lack], files.keys() - set(wanted)
    if missing or unknown or not files:
        reasons = [f"{', '.join(missing)} missing"] if missing else []
        reasons += [f"{', '.join(sorted(unknown))} not known"] if unknown else []
        raise ConfigurationError(
            f"a case of {case_format.name} has {', '.join(wanted)}; given: {', '.join(files) or 'none'} "
            f"({'; '.join(reasons)}). Name a file for each image, as in -i {(missing or wanted)[0]}=FILE."
        )
    for name, path in files.items():
        if not path.is_file():
            raise ConfigurationError(f"{name}: there is no file {path}")
    images = {name: ImageFile(files[name]) for name in wanted if name in files}
    identity = _common_name(list(files.values()))
    case = Case(id=identity, patient=identity, images=images, target=None)
    notices = tuple(
        Finding(code=DataCode.ABSENT_IMAGE, case_id=identity, detail=f"No {name} image is named.", image=name)
        for name in absent
    )
    return Cohort(NAMED_FILES, None, cases=(case,), problems=(), notices=notices)


def _common_name(files: Sequence[Path]) -> str:
    """What the names of a case's files start with, up to a separator; else the name of their folder.

    Files of two patients that are named after the images alone have to give two ids: results of one case
    replace those of an earlier one with its id.
    """
    stems = {Path(path.name.removesuffix(".gz")).stem for path in files}
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False))
    common = "".join(letters[0] for letters in alike)
    if len(stems) > 1:
        common = common[: max(0, *map(common.rfind, "-_. "))]
    folders = {path.absolute().parent.name for path in files}
    return common.rstrip("-_. ") or (folders.pop() if len(folders) == 1 else "") or "case"


def _name_images(cohort: Cohort, inputs: Sequence[str]) -> list[Finding]:
    """The problems of a folder, with one for each image that a case lacks."""
    incomplete = {case.id: case for case in cohort.left_out}
    problems: list[Finding] = []
    for problem in cohort.problems:
        case = incomplete.get(problem.case)
        if problem.code is not DataCode.MISSING_IMAGE or case is None:
            problems.append(problem)
            continue
        missing = [name for name in inputs if name not in case.images]
        problems += [problem.model_copy(update={"image": name}) for name in missing]
    return problems
