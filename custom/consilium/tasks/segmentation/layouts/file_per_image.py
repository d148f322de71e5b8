"""Layout with one NIfTI file per image: most public collections, BIDS, and hospitals' own.

The kind of image is at the end of the file's name (the table is `endings`), the case before it; where
nothing is before it, the folder's name is the case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.case import Case, FolderError, ImageFile
from consilium.data.case_format import FoundCases
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.data.problem_code import Severity
from consilium.tasks.segmentation.layouts.base import nifti_stem
from consilium.tasks.segmentation.layouts.endings import LABEL, FileEndings
from consilium.tasks.segmentation.layouts.file_groups import (
    CaseFiles,
    NamedFile,
    assign_strays,
    differing,
    group_files,
    read_name,
    same_content,
)

BIDS: Final = "bids"
PER_IMAGE: Final = "file-per-image"
"""Names of the layout in reports, where the task's words have no other."""


class FilePerImageLayout:
    """Folders in which each image is a file of its own.

    Args:
        root: The dataset folder.
        files: Every visible file under it.
        endings: The table of endings.

    Attributes:
        naming: The release as whose files they are named, see `Vocabulary`; None where they may be of any.

    Raises:
        FolderError: Some cases are named as of one release and others as of another.
    """

    def __init__(self, root: Path, files: Sequence[Path], endings: FileEndings) -> None:
        self._endings = endings
        read = {path: read_name(path, root, endings) for path in files}
        self._understood = frozenset(path for path, name in read.items() if name is not None)
        self._files = [name for name in read.values() if isinstance(name, NamedFile)]
        self._groups, self._strays = group_files(self._files)
        words = endings.vocabulary
        by_naming: dict[str, list[CaseFiles]] = {naming: [] for naming in words.namings}
        for group in self._groups:
            if (naming := _naming(group, list(words.namings))) is not None:
                by_naming[naming].append(group)
        found = {naming: groups for naming, groups in by_naming.items() if groups}
        if len(found) > 1:
            seen = "; ".join(f"{words.namings[naming]}: {_count(groups)}" for naming, groups in found.items())
            raise FolderError(
                DataCode.MIXED_LAYOUTS,
                f"{root} mixes layouts ({seen}). Their labels differ. Give each layout a dataset folder of "
                "its own.",
            )
        self.naming = next(iter(found), None)

    @property
    def claimed(self) -> frozenset[Path]:
        """The files that belong to it; none where there is no image among them."""
        return frozenset(file.path for file in self._files) if self._groups else frozenset()

    @property
    def name(self) -> str:
        """Short name, as it is in reports."""
        words = self._endings.vocabulary
        if self.naming is not None and self.naming in words.layouts:
            return words.layouts[self.naming]
        if self._files and all(file.bids for file in self._files if file.role != LABEL):
            return BIDS
        if words.plain_layout is not None:
            name, pattern = words.plain_layout
            if all(re.fullmatch(pattern, nifti_stem(file.path) or "") for file in self._files):
                return name
        return PER_IMAGE

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that it knows."""
        return self._endings.inputs

    def find(self, files: Sequence[Path], modalities: Sequence[str]) -> FoundCases:
        """Make cases of the files; one that lacks an image or has one twice is a problem.

        Args:
            files: Every visible file of the dataset folder.
            modalities: Canonical names of the images that a case must have.
        """
        labels, lost = assign_strays(self._groups, self._strays, self._endings)
        by_id: dict[str, list[CaseFiles]] = defaultdict(list)
        for group in self._groups:
            by_id[group.case_id].append(group)
        found: list[Case | Finding] = []
        for case_id, groups in sorted(by_id.items()):
            found += self._one_case(case_id, groups, labels.get(case_id, []), modalities)
        found += [
            Finding(
                code=DataCode.STRAY_LABEL,
                detail=f"{one.path} names no case that lacks a label.",
                case_id=one.case_id,
            )
            for one in lost
        ]
        cases = [one for one in found if isinstance(one, Case)]
        findings = [one for one in found if isinstance(one, Finding)]
        return FoundCases(
            tuple(case for case in cases if len(case.images) == len(modalities)),
            tuple(one for one in findings if one.severity is Severity.ERROR),
            tuple(case for case in cases if len(case.images) < len(modalities)),
            tuple(one for one in findings if one.severity is not Severity.ERROR),
            self._understood,
        )

    def _one_case(
        self,
        case_id: str,
        groups: Sequence[CaseFiles],
        labels: Sequence[NamedFile],
        modalities: Sequence[str],
    ) -> Iterator[Case | Finding]:
        """Make the case of an id; of several folders that hold it, the best is used, if they agree."""
        first, *others = sorted(groups, key=lambda one: (_lacks(one, modalities), not one.labels, one.folder))
        for other in others:
            if _lacks(other, modalities) > _lacks(first, modalities):
                continue  # less of the case, or not prepared: not a second version of it
            if pair := next(differing(first, other), None):
                detail = f"{first.folder} and {other.folder} both hold it; {pair[0]} and {pair[1]} differ."
                yield Finding(case_id=case_id, code=DataCode.DUPLICATE_CASE, detail=detail)
                return
            detail = f"{other.folder} holds a copy of what is used from {first.folder}."
            yield Finding(code=DataCode.REPEATED_CASE, detail=detail, case_id=case_id)
        images = first.images(modalities)
        if label := _best([*first.labels, *labels]):
            images[LABEL] = label
        if twice := next(((role, paths) for role, paths in images.items() if len(paths) > 1), None):
            detail = f"{twice[1][0]} and {twice[1][1]} are both its {twice[0]}."
            yield Finding(case_id=case_id, code=DataCode.DUPLICATE_FILE, detail=detail)
            return
        if missing := [name for name in modalities if name not in images]:
            has = ", ".join(sorted({file.role for file in first.files}))
            detail = f"{first.folder} has no {', '.join(missing)} image (has: {has})."
            yield Finding(case_id=case_id, code=DataCode.MISSING_IMAGE, detail=detail)
        if len(missing) < len(modalities):
            yield Case(
                id=case_id,
                patient=self._endings.vocabulary.patient_names.patient_of(case_id),
                images={name: ImageFile(images[name][0]) for name in modalities if name in images},
                target=ImageFile(images[LABEL][0]) if LABEL in images else None,
            )


def _lacks(group: CaseFiles, modalities: Sequence[str]) -> tuple[int, bool]:
    """How many images a folder lacks of a case, and whether none of them is prepared."""
    images = [file for file in group.files if file.role in modalities]
    return len(modalities) - len({file.role for file in images}), all(file.version[0] for file in images)


def _best(labels: Sequence[NamedFile]) -> list[Path]:
    """The corrected label before the automatic one; of copies the first, of different ones all."""
    ordered = sorted(labels, key=lambda file: (file.version, file.path))
    best = [file.path for file in ordered if file.version == ordered[0].version]
    return best[:1] + [path for path in best[1:] if not same_content(best[0], path)]


def _naming(group: CaseFiles, namings: Sequence[str]) -> str | None:
    """The release as whose the images are named, the earliest of several; None where they may be of any."""
    said = [file.naming for file in group.files if file.naming is not None]
    return min(said, key=namings.index) if said else None


def _count(groups: Sequence[CaseFiles]) -> str:
    files = [file.path for group in groups for file in group.files]
    return f"{counted(len(files), 'file')}, such as {min(files)}"
