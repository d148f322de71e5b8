"""One NIfTI file for each image: BraTS of all years, most public collections, BIDS, and what hospitals make.

The kind of image stands at the end of the file's name (the table is `endings`), the case before it; where
nothing stands before it, the folder's name is the case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from consilium.counts import counted
from consilium.data.case import Case, CaseProblem, FolderError, ImageFile, Notice
from consilium.data.case_format import FoundCases
from consilium.data.codes import DataCode
from consilium.data.visits import patient_by_name
from consilium.tasks.brain_tumor.conventions import read_convention
from consilium.tasks.brain_tumor.labels import LabelConvention
from consilium.tasks.segmentation.labels import Reading, Values
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

EXPECTS = (
    "brats-2018: <case>_t1 _t1ce _t2 _flair _seg; brats-2023: <case>-t1n -t1c -t2w -t2f -seg; "
    "the endings of other collections in docs/data.md; t1 t1ce t2 flair seg alone in a folder for each case; "
    "BIDS: sub-<label>_T1w, _ce-gadolinium_T1w, _T2w, _FLAIR, all .nii or .nii.gz"
)
"""The files that it looks for, as they stand in an error message."""

_ENDINGS_OF_2018 = re.compile(r"(?i).+_(?:t1|t1ce|t2|flair|segm?)")


class FilePerImageLayout:
    """Folders in which each image is a file of its own.

    Args:
        root: The dataset folder.
        files: Every visible file under it.
        endings: The table of endings.

    Raises:
        FolderError: Some cases are named as BraTS until 2021 and others as since 2023.
    """

    def __init__(self, root: Path, files: Sequence[Path], endings: FileEndings) -> None:
        self._endings = endings
        read = {path: read_name(path, root, endings) for path in files}
        self._understood = frozenset(path for path, name in read.items() if name is not None)
        self._files = [name for name in read.values() if isinstance(name, NamedFile)]
        self._groups, self._strays = group_files(self._files)
        new = [group for group in self._groups if group.since_2023]
        old = [group for group in self._groups if group.since_2023 is False]
        if new and old:
            raise FolderError(
                DataCode.MIXED_LAYOUTS,
                f"{root} mixes layouts (brats-2018 or the like: {_count(old)}; brats-2023: {_count(new)}). "
                "Their labels differ. Give each layout a dataset folder of its own.",
            )
        self._since_2023 = bool(new)

    @property
    def claimed(self) -> frozenset[Path]:
        """The files that belong to it; none where there is no image among them."""
        return frozenset(file.path for file in self._files) if self._groups else frozenset()

    @property
    def name(self) -> str:
        """Short name, as it stands in reports."""
        if self._since_2023:
            return "brats-2023"
        if self._files and all(file.bids for file in self._files if file.role != LABEL):
            return "bids"
        plain = all(_ENDINGS_OF_2018.fullmatch(nifti_stem(file.path) or "") for file in self._files)
        return "brats-2018" if plain else "file-per-image"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Canonical names of the modalities that it knows."""
        return self._endings.modalities

    def find(self, files: Sequence[Path], modalities: Sequence[str]) -> FoundCases:
        """Make cases of the files; one that lacks an image or has one twice is a problem.

        Args:
            files: Every visible file of the dataset folder.
            modalities: Canonical names of the images that a case must have.
        """
        labels, lost = assign_strays(self._groups, self._strays)
        by_id: dict[str, list[CaseFiles]] = defaultdict(list)
        for group in self._groups:
            by_id[group.case_id].append(group)
        found: list[Case | CaseProblem | Notice] = []
        for case_id, groups in sorted(by_id.items()):
            found += self._one_case(case_id, groups, labels.get(case_id, []), modalities)
        found += [
            Notice(DataCode.STRAY_LABEL, f"{one.path} names no case that lacks a label.", one.case_id)
            for one in lost
        ]
        cases = [one for one in found if isinstance(one, Case)]
        return FoundCases(
            tuple(case for case in cases if len(case.images) == len(modalities)),
            tuple(one for one in found if isinstance(one, CaseProblem)),
            tuple(case for case in cases if len(case.images) < len(modalities)),
            tuple(one for one in found if isinstance(one, Notice)),
            self._understood,
        )

    def convention(self, labels: Mapping[str, Values], stated: LabelConvention | None = None) -> Reading:
        """The site's label convention, by the rules that go with these names."""
        return read_convention(labels, since_2023=self._since_2023, stated=stated)

    def _one_case(
        self,
        case_id: str,
        groups: Sequence[CaseFiles],
        labels: Sequence[NamedFile],
        modalities: Sequence[str],
    ) -> Iterator[Case | CaseProblem | Notice]:
        """Make the case of an id; of several folders that hold it, the best is used, if they agree."""
        first, *others = sorted(groups, key=lambda one: (_lacks(one, modalities), not one.labels, one.folder))
        for other in others:
            if _lacks(other, modalities) > _lacks(first, modalities):
                continue  # less of the case, or with its skull: not a second version of it
            if pair := next(differing(first, other), None):
                detail = f"{first.folder} and {other.folder} both hold it; {pair[0]} and {pair[1]} differ."
                yield CaseProblem(case_id, DataCode.DUPLICATE_CASE, detail)
                return
            detail = f"{other.folder} holds a copy of what is used from {first.folder}."
            yield Notice(DataCode.REPEATED_CASE, detail, case_id)
        images = first.images(modalities)
        if label := _best([*first.labels, *labels]):
            images[LABEL] = label
        if twice := next(((role, paths) for role, paths in images.items() if len(paths) > 1), None):
            detail = f"{twice[1][0]} and {twice[1][1]} are both its {twice[0]}."
            yield CaseProblem(case_id, DataCode.DUPLICATE_FILE, detail)
            return
        if missing := [name for name in modalities if name not in images]:
            has = ", ".join(sorted({file.role for file in first.files}))
            detail = f"{first.folder} has no {', '.join(missing)} image (has: {has})."
            yield CaseProblem(case_id, DataCode.MISSING_MODALITY, detail)
        if len(missing) < len(modalities):
            yield Case(
                id=case_id,
                patient=patient_by_name(case_id),
                images={name: ImageFile(images[name][0]) for name in modalities if name in images},
                target=ImageFile(images[LABEL][0]) if LABEL in images else None,
            )


def _lacks(group: CaseFiles, modalities: Sequence[str]) -> tuple[int, bool]:
    """How many images a folder lacks of a case, and whether it has none without the skull."""
    images = [file for file in group.files if file.role in modalities]
    return len(modalities) - len({file.role for file in images}), all(file.version[0] for file in images)


def _best(labels: Sequence[NamedFile]) -> list[Path]:
    """The corrected label before the automatic one; of copies the first, of different ones all."""
    ordered = sorted(labels, key=lambda file: (file.version, file.path))
    best = [file.path for file in ordered if file.version == ordered[0].version]
    return best[:1] + [path for path in best[1:] if not same_content(best[0], path)]


def _count(groups: Sequence[CaseFiles]) -> str:
    files = [file.path for group in groups for file in group.files]
    return f"{counted(len(files), 'file')}, such as {min(files)}"
