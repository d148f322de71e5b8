"""Dataset layouts and their recognition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from consilium.counts import counted
from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.tasks.segmentation.layouts.base import Layout
from consilium.tasks.segmentation.layouts.endings import FileEndings
from consilium.tasks.segmentation.layouts.file_per_image import BIDS, PER_IMAGE, FilePerImageLayout
from consilium.tasks.segmentation.layouts.foreign import count_endings, describe_foreign, unknown_files
from consilium.tasks.segmentation.layouts.image_folders import DECATHLON, EXPECTS, NNUNET, ImageFoldersLayout
from consilium.tasks.segmentation.layouts.vocabulary import Vocabulary

__all__ = [
    "FileEndings",
    "FilePerImageLayout",
    "ImageFoldersLayout",
    "Layout",
    "count_endings",
    "describe_foreign",
    "detect_layout",
    "layout_names",
    "unknown_files",
]


def layout_names(words: Vocabulary) -> tuple[str, ...]:
    """Return the names of all layouts whose files `detect_layout` recognizes by a task's words."""
    plain = () if words.plain_layout is None else words.plain_layout[:1]
    named = (*words.layouts.values(), *plain, BIDS, PER_IMAGE, DECATHLON, NNUNET)
    return tuple(dict.fromkeys(named))


def detect_layout(folder: Path, files: Sequence[Path], endings: FileEndings) -> Layout:
    """The one layout whose files lie in a folder.

    Args:
        folder: The dataset folder.
        files: Every visible file under it.
        endings: Parser of file names.

    Returns:
        The layout.

    Raises:
        FolderError: No layout claims a file, or more than one does.
    """
    per_image = FilePerImageLayout(folder, files, endings)
    in_folders = ImageFoldersLayout(files, endings, per_image.claimed)
    if per_image.claimed and in_folders.claims:
        raise FolderError(
            DataCode.MIXED_LAYOUTS,
            f"{folder} mixes layouts ({per_image.name}: {counted(len(per_image.claimed), 'file')}, such as "
            f"{min(per_image.claimed)}; {in_folders.name}: {counted(in_folders.claims, 'file')}). Give "
            "each layout a "
            "dataset folder of its own.",
        )
    if per_image.claimed:
        return per_image
    if in_folders.claims:
        return in_folders
    foreign = "".join(f" {line}." for line in describe_foreign(files, endings))
    raise FolderError(
        DataCode.UNKNOWN_LAYOUT,
        f"No known layout under {folder}. Found {count_endings(files, (), endings) or 'no readable file'}."
        f"{foreign} "
        f"Looked for {endings.vocabulary.looked_for}; {EXPECTS}. "
        f"{endings.how_to_name()}",
    )
