"""Files under a dataset folder, and folders in it that can't be read."""

import os
from dataclasses import dataclass
from pathlib import Path

from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.data.files import readable


@dataclass(frozen=True)
class FolderScan:
    """Content of a folder.

    Args:
        files: Every visible file, sorted by path.
        forbidden: Folders that could not be listed.
    """

    files: tuple[Path, ...]
    forbidden: tuple[Path, ...]


def scan_folder(folder: Path) -> FolderScan:
    """Walk a folder, through symbolic links, past hidden files and the `._*` files that macOS leaves.

    Args:
        folder: The dataset folder.

    Returns:
        The files and the folders that can't be listed.

    Raises:
        FolderError: The folder is missing, no folder, forbidden, empty, or its name is not UTF-8.
    """
    if readable(folder.absolute()) != str(folder.absolute()):
        raise _unusable(
            f"The name of the dataset folder {readable(folder.absolute())} is not UTF-8, which settings and "
            "reports must be; rename it, or make a link to it with another name: ln -s FOLDER NAME"
        )
    if not os.access(folder, os.F_OK):  # unlike Path.exists, also where a parent may not be entered
        raise _unusable(
            f"The dataset folder {folder} does not exist or can't be reached; correct its name (of a site: "
            "dataset in local/privacy.json), or the permissions of the folders above it."
        )
    if not folder.is_dir():
        raise _unusable(f"The dataset folder {folder} is a file; name the folder that holds the cases.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise _unusable(f"The dataset folder {folder} may not be read; check it with: ls -ld {folder}")
    forbidden: list[Path] = []
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    walk = os.walk(folder, onerror=lambda error: forbidden.append(Path(error.filename)), followlinks=True)
    for parent, subfolders, names in walk:
        try:
            status = Path(parent).stat()
        except OSError:  # it has gone meanwhile, or may not be reached
            forbidden.append(Path(parent))
            subfolders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    if not files and not forbidden:
        raise _unusable(f"The dataset folder {folder} is empty; copy the cases into it.")
    return FolderScan(tuple(sorted(files)), tuple(sorted(forbidden)))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its content: 128 bytes of a preamble, then `DICM` (DICOM PS3.10)."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _unusable(message: str) -> FolderError:
    return FolderError(DataCode.FOLDER_UNUSABLE, message)
