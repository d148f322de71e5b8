"""Folders and names of a simulation, checked before the start."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from consilium.data.files import output_folder, readable
from consilium.errors import ConfigurationError
from consilium.federation.safe_names import check_site_names
from consilium.guard.start_check import is_one_word


def check_folders(sites: Mapping[str, Path], out: Path) -> None:
    """Check the hospitals' names and folders, and make the folder for the results.

    Args:
        sites: Site name to the folder with its cases.
        out: Where everything goes.

    Raises:
        ConfigurationError: If one of them can't be used, with what to do.
    """
    check_site_names(list(sites))
    for name, folder in sites.items():
        _check_dataset(name, folder, out)
    seen: dict[Path, str] = {}
    for name, folder in sites.items():
        other = seen.setdefault(folder.resolve(), name)
        if other != name:
            raise ConfigurationError(
                f"sites {other} and {name} have one folder, {folder}: each hospital has patients of its own; "
                "give one of the two another folder"
            )
    output_folder(out, "--out")


@contextmanager
def without_spaces(folder: Path) -> Iterator[Path]:
    """Give a folder a path without spaces: FLARE's simulator splits its command line at them.

    Args:
        folder: A folder whose own name has none.

    Yields:
        The folder, or the same by a link to its parent, which is removed afterwards.

    Raises:
        ConfigurationError: If that can't be done.
    """
    if not is_one_word(sys.executable):
        raise ConfigurationError(
            f"this Python lies in a folder with a space in its name, {sys.executable}, which FLARE's "
            "simulator can't start; make the virtual environment elsewhere"
        )
    if is_one_word(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="consilium-") as place:
        if not is_one_word(place):
            raise ConfigurationError(
                f"{folder} has a space in its name, which FLARE's simulator can't take, and so has the "
                f"temporary folder {place}; set TMPDIR to one without, or choose another --out"
            )
        link = Path(place) / "parent"  # FLARE removes the folder itself, which it can't where that is a link
        link.symlink_to(folder.resolve().parent, target_is_directory=True)
        yield link / folder.name


def _check_dataset(name: str, folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise ConfigurationError(
            f"site {name}: {folder} is not a folder; give the folder that holds its cases"
        )
    if readable(folder.absolute()) != str(folder.absolute()):
        raise ConfigurationError(
            f"site {name}: the name {readable(folder.absolute())} is no UTF-8; make a link to the folder "
            "with another name"
        )
    if out.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"{out} lies in the folder of site {name}, {folder}, which is only read; choose another --out"
        )
