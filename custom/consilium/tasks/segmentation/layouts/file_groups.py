"""Files of one case: choice among versions of an image, and assignment of labels."""

from __future__ import annotations

import filecmp
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consilium.tasks.segmentation.layouts.base import nifti_stem
from consilium.tasks.segmentation.layouts.endings import LABEL, FileEndings
from consilium.tasks.segmentation.layouts.vocabulary import BidsNames

# Folders whose files are labels, and names of files that say nothing. No "masks": those may be of anatomy.
_LABEL_FOLDERS: Final = frozenset(("label", "labels", "segs", "segmentations", "annotations", "gt"))
_NAMELESS: Final = frozenset(("image", "img", "scan", "volume", "vol", "data", "nifti", "label", "mask"))
_GZIP_MAGIC: Final = b"\x1f\x8b"
_END_BYTES: Final = 4096
# https://bids-specification.readthedocs.io: sub-01[_ses-01][_key-value...]_suffix
_BIDS = re.compile(
    r"(?P<case>sub-[A-Za-z0-9]+(?:_ses-[A-Za-z0-9]+)?)(?P<entities>(?:_[a-z]+-[A-Za-z0-9]+)*)_(?P<suffix>[A-Za-z0-9]+)"
)


@dataclass(frozen=True)
class NamedFile:
    """A file with a recognized name.

    Args:
        path: The file.
        folder: Where the files of its case lie.
        case_id: Its case.
        role: An input or `LABEL`.
        version: The lower, the better: a name that says that the image is prepared comes first.
        variant: Distinguishes it from another version of equal rank: files of one variant belong together.
        naming: See `ParsedName`.
        named: Whether the name itself says the case, not its folder.
        bids: Whether the name follows BIDS.
    """

    path: Path
    folder: Path
    case_id: str
    role: str
    version: tuple[bool, int] = (True, 0)
    variant: str = ""
    naming: str | None = None
    named: bool = True
    bids: bool = False


def read_name(path: Path, root: Path, endings: FileEndings) -> NamedFile | str | None:
    """Parsed name of a file.

    Args:
        path: The file.
        root: The dataset folder.
        endings: The table of endings.

    Returns:
        The file; its name alone where it is a known image that is not used; None for any other file.
    """
    stem, folder = nifti_stem(path), path.parent
    if stem is None:
        return None
    if folder != root and (name := nifti_stem(folder)) is not None:
        stem, folder = name, folder.parent  # each file in a folder of its own that has the file's name
    names = endings.vocabulary.bids
    if names and (bids := _BIDS.fullmatch(stem)) and bids["suffix"] in names.suffixes:
        return _read_bids(path, bids, names)
    parsed = endings.parse(stem)
    if parsed is None:
        return _read_folder_name(path, stem, root, endings)
    if parsed.role is None:
        return path.name
    return NamedFile(
        path,
        folder,
        parsed.case_id or id_of_folder(folder, root),
        parsed.role,
        (not parsed.prepared, parsed.rank),
        naming=parsed.naming,
        named=bool(parsed.case_id),
    )


def _read_bids(path: Path, name: re.Match[str], names: BidsNames) -> NamedFile | str:
    role, entities = names.suffixes[name["suffix"]], name["entities"]
    wanted = bool(re.search(names.label, entities))
    if role == LABEL:
        if not wanted and (name["suffix"] == "mask" or re.search(names.anatomy, entities)):
            return path.name
    elif "_ce-" in entities:
        if role not in names.enhanced:
            return path.name
        role = names.enhanced[role]
    subject = name["case"].partition("_")[0]
    tree = next((above.parent for above in path.parents if above.name == subject), path.parent)
    variant = re.sub(r"_ce-[A-Za-z0-9]+", "", entities)
    prepared = bool(re.search(names.prepared, entities))
    return NamedFile(path, tree, name["case"], role, (not prepared, 0), variant, bids=True)


def _read_folder_name(path: Path, stem: str, root: Path, endings: FileEndings) -> NamedFile | None:
    """A file in a folder for one kind of image: ct/001.nii.gz."""
    if path.parent == root:
        return None
    name = path.parent.name
    role = LABEL if name.lower() in _LABEL_FOLDERS else endings.role_of(name)
    if role is None:
        return None
    above = path.parent.parent
    if stem.lower() in _NAMELESS:
        return NamedFile(path, above, id_of_folder(above, root), role, named=False)
    return NamedFile(path, above, stem, role)


def id_of_folder(folder: Path, root: Path) -> str:
    """The id of a case whose files don't name it: its folder's path below the dataset folder."""
    parts = folder.relative_to(root).parts
    return "_".join(parts) if parts else root.resolve().name


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case in one folder.

    Args:
        case_id: The case.
        folder: Where they lie.
        files: The files.
    """

    case_id: str
    folder: Path
    files: tuple[NamedFile, ...]

    def images(self, modalities: Sequence[str]) -> dict[str, list[Path]]:
        """The files of each modality in the best version; several in one are a contradiction.

        Files of one version belong together, so the best that has every image counts; where none has, each
        image is taken in its own best version.

        Args:
            modalities: The images that a case must have.
        """
        versions: dict[tuple[tuple[bool, int], str], dict[str, list[Path]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for file in self.files:
            if file.role in modalities:
                versions[file.version, file.variant][file.role].append(file.path)
        ordered = sorted(versions.items())
        whole = [(key, found) for key, found in ordered if len(found) == len(modalities)]
        best = [found for key, found in whole if key[0] == whole[0][0][0]]
        chosen: dict[str, list[Path]] = {}
        if best:
            for name in modalities:
                chosen[name] = [path for found in best for path in found[name]]
            return chosen
        for name in modalities:
            having = [(key, found[name]) for key, found in ordered if name in found]
            if having:
                chosen[name] = [path for key, paths in having if key[0] == having[0][0][0] for path in paths]
        return chosen

    @property
    def labels(self) -> list[NamedFile]:
        """The label files."""
        return [file for file in self.files if file.role == LABEL]


def group_files(files: Iterable[NamedFile]) -> tuple[list[CaseFiles], list[NamedFile]]:
    """Put files together by case and folder.

    Args:
        files: The files.

    Returns:
        Groups that hold an image, and the labels that lie without one.
    """
    groups: dict[tuple[str, Path], list[NamedFile]] = defaultdict(list)
    for file in files:
        groups[file.case_id, file.folder].append(file)
    cases: list[CaseFiles] = []
    strays: list[NamedFile] = []
    for (case_id, folder), found in sorted(groups.items()):
        if all(file.role == LABEL for file in found):
            strays += found
        else:
            cases.append(CaseFiles(case_id, folder, tuple(found)))
    return cases, strays


def assign_strays(
    groups: Sequence[CaseFiles], strays: Sequence[NamedFile], endings: FileEndings
) -> tuple[dict[str, list[NamedFile]], list[NamedFile]]:
    """Give labels that lie without images to the case that their name says, and to no other.

    Args:
        groups: Cases with images.
        strays: Labels without.
        endings: Knows what may stand between a case and its label.

    Returns:
        Labels by case id, and those of no case.
    """
    by_id: dict[str, list[CaseFiles]] = defaultdict(list)
    by_folder: dict[Path, list[CaseFiles]] = defaultdict(list)
    for group in groups:
        by_id[group.case_id].append(group)
        by_folder[group.folder].append(group)
    owned: dict[str, list[NamedFile]] = defaultdict(list)
    lost: list[NamedFile] = []
    for stray in strays:
        if any(_identifies(group, by_folder) for group in by_id.get(stray.case_id, ())):
            owned[stray.case_id].append(stray)
            continue
        beside = by_folder.get(stray.folder, [])
        if len(beside) == 1 and not beside[0].labels and _belongs(stray, beside[0], endings):
            owned[beside[0].case_id].append(stray)
        else:
            lost.append(stray)
    return owned, lost


def _identifies(group: CaseFiles, by_folder: Mapping[Path, Sequence[CaseFiles]]) -> bool:
    """Whether a case's id is unique, wherever the file is; `scan` in every folder is not."""
    folder = group.folder.name
    return (
        any(file.bids for file in group.files)
        or folder.startswith(group.case_id)
        or group.case_id.startswith(folder)
        or len(by_folder[group.folder]) > 1
    )


def _belongs(stray: NamedFile, group: CaseFiles, endings: FileEndings) -> bool:
    """Whether a label in the folder of one case is that case's by its name, or can't be another case's."""
    if not stray.named:
        return True
    known = endings.vocabulary.misnamed_labels.get(stray.case_id)
    if known is not None:
        return bool(re.match(known, group.case_id))
    return endings.is_label_of(stray.case_id, group.case_id) or endings.is_label_of(
        stray.case_id, group.folder.name
    )


def same_content(first: Path, second: Path) -> bool:
    """Whether two files hold the same bytes; False where one can't be read.

    Of gzip streams of one length the checksum of what they hold is compared: a whole backup in the folder
    would otherwise be read at every start.
    """
    try:
        if first.stat().st_size != second.stat().st_size:
            return False
        ends = [_ends(path) for path in (first, second)]
        if ends[0] != ends[1] or ends[0][0].startswith(_GZIP_MAGIC):
            return ends[0] == ends[1]
        return filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file; a gzip stream ends in its checksum and length."""
    with path.open("rb") as file:
        first = file.read(_END_BYTES)
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        return first, file.read()


def differing(first: CaseFiles, second: CaseFiles) -> Iterator[tuple[Path, Path]]:
    """Pairs of files for one thing in two folders of one case that hold different bytes."""
    twins = {(file.role, file.version, file.variant): file.path for file in first.files}
    for file in second.files:
        twin = twins.get((file.role, file.version, file.variant))
        if twin is not None and not same_content(twin, file.path):
            yield twin, file.path
