"""The dataset layouts that Consilium reads, and how the one of a folder is recognized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from consilium.counts import counted
from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.tasks.segmentation.layouts import file_per_image, image_folders
from consilium.tasks.segmentation.layouts.base import Layout
from consilium.tasks.segmentation.layouts.endings import FileEndings, how_to_name
from consilium.tasks.segmentation.layouts.file_per_image import FilePerImageLayout
from consilium.tasks.segmentation.layouts.foreign import count_endings, describe_foreign, unknown_files
from consilium.tasks.segmentation.layouts.image_folders import ImageFoldersLayout

__all__ = [
    "FileEndings",
    "Layout",
    "count_endings",
    "describe_foreign",
    "detect_layout",
    "how_to_name",
    "unknown_files",
]


def detect_layout(
    folder: Path, files: Sequence[Path], file_endings: Mapping[str, Sequence[str]] | None = None
) -> Layout:
    """The one layout whose files lie in a folder.

    Args:
        folder: The dataset folder.
        files: Every visible file under it.
        file_endings: What a hospital adds to the known endings of file names: modality, or `label`, to
            endings.

    Returns:
        The layout.

    Raises:
        FolderError: No layout claims a file, or more than one does.
        ConfigurationError: An ending is none.
    """
    endings = FileEndings(file_endings)
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
    foreign = "".join(f" {line}." for line in describe_foreign(files))
    raise FolderError(
        DataCode.UNKNOWN_LAYOUT,
        f"No known layout under {folder}. Found {count_endings(files, ()) or 'no readable file'}.{foreign} "
        f"Looked for {file_per_image.EXPECTS}; {image_folders.EXPECTS}. {how_to_name()}",
    )
