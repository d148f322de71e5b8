"""A case: one examination of one patient, as files, and its possible problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from consilium.data.files import JsonPath, readable
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode
from consilium.errors import DataError


@dataclass(frozen=True)
class ImageFile:
    """Location of one image.

    Args:
        path: The file.
        channel: Which of several images in the file; None for a file that holds one.
    """

    path: JsonPath
    channel: int | None = None


Target = ImageFile | int | float
"""What a model is to answer for a case: an image such as a segmentation, a class or a number."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One examination: its images and, if labeled, its target.

    Args:
        id: Unique within a site. Never leaves it.
        patient: Groups the examinations of one person, so that a split never puts them on both sides.
        images: Name to file, in the order of the problem's inputs; an input of several images has several
            names.
        target: What a model is to answer; None for an unlabeled case.
    """

    id: str
    patient: str
    images: Mapping[str, ImageFile]
    target: Target | None

    @property
    def labeled(self) -> bool:
        """Whether somebody gave its target."""
        return self.target is not None

    @property
    def target_file(self) -> ImageFile | None:
        """The target where it is a file, None otherwise."""
        return self.target if isinstance(self.target, ImageFile) else None

    @property
    def paths(self) -> list[Path]:
        """Its files, each once: one may hold several images."""
        target = [self.target_file] if self.target_file else []
        return list(dict.fromkeys(image.path for image in (*self.images.values(), *target)))

    @property
    def place(self) -> str:
        """What a message calls the case: `the case in <folder>`."""
        paths = self.paths
        return f"the case in {paths[0].parent if paths else self.id}"

    def absolute(self) -> Case:
        """Return the case as a process in another folder finds it as well."""
        images = {name: replace(image, path=image.path.absolute()) for name, image in self.images.items()}
        target = self.target
        if isinstance(target, ImageFile):
            target = replace(target, path=target.path.absolute())
        return replace(self, images=images, target=target)

    def __post_init__(self) -> None:
        """Write ids that come from file names in no encoding with escapes: JSON, pages and logs hold them."""
        object.__setattr__(self, "id", readable(self.id))
        object.__setattr__(self, "patient", readable(self.patient))


class CaseError(DataError):
    """An unusable case; the others are not affected.

    Args:
        problem: What is wrong with it.
    """

    def __init__(self, problem: Finding) -> None:
        super().__init__(f"Case {problem.case_id}: {problem.detail} {problem.code.remedy}")
        self.problem = problem


class FolderError(DataError):
    """An unusable dataset folder.

    Args:
        code: What is wrong.
        message: What was seen, what is allowed, and what to do.
    """

    def __init__(self, code: ProblemCode, message: str) -> None:
        super().__init__(readable(message))
        self.code = code
