"""Input of a prediction: the cases of a folder, or one case whose files are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Final

from consilium.data.case import Case, ImageFile
from consilium.data.case_format import CaseFormat
from consilium.data.codes import DataCode
from consilium.data.cohort import Cohort, find_cases
from consilium.data.finding import Finding
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


def _named_case(files: Mapping[str, Path], case_format: CaseFormat) -> Cohort:
    wanted = case_format.inputs
    missing, unknown = [one for one in wanted if one not in files], sorted(files.keys() - set(wanted))
    if missing or unknown:
        reasons = [f"{', '.join(missing)} missing"] if missing else []
        reasons += [f"{', '.join(unknown)} not known"] if unknown else []
        raise ConfigurationError(
            f"a case of {case_format.name} has {', '.join(wanted)}; given: {', '.join(files) or 'none'} "
            f"({'; '.join(reasons)})"
        )
    for name, path in files.items():
        if not path.is_file():
            raise ConfigurationError(f"{name}: there is no file {path}")
    images = {name: ImageFile(files[name]) for name in wanted}
    identity = _common_name([path.name for path in files.values()])
    case = Case(id=identity, patient=identity, images=images, target=None)
    return Cohort(NAMED_FILES, None, cases=(case,), problems=())


def _common_name(names: Sequence[str]) -> str:
    """What the names of a case's files start with, up to where they differ."""
    stems = [name.partition(".")[0] for name in names]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False))
    return "".join(letters[0] for letters in alike).rstrip("-_ ") or "case"


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
