import os
from pathlib import Path

import pytest

from consilium.data.case import FolderError
from consilium.data.scan import scan_folder
from consilium.errors import DataError


def test_links_are_followed_but_not_in_circles(tmp_path):
    outside = tmp_path / "archive"
    outside.mkdir()
    (outside / "image.nii").touch()
    folder = tmp_path / "cohort"
    folder.mkdir()
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    assert [path.name for path in scan_folder(folder).files] == ["image.nii"]


def test_hidden_files_are_invisible(tmp_path):
    (tmp_path / ".hidden").mkdir()
    for name in ("._case_t1.nii.gz", ".DS_Store", ".hidden/case_t1.nii.gz", "seen.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in scan_folder(tmp_path).files] == ["seen.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run as another user")
def test_a_forbidden_folder_is_reported(tmp_path):
    (tmp_path / "seen.txt").touch()
    (tmp_path / "closed").mkdir(mode=0o000)
    assert scan_folder(tmp_path).forbidden == (tmp_path / "closed",)


@pytest.mark.parametrize(
    ("name", "message"), [("absent", "does not exist"), ("file", "is a file"), ("", "empty")]
)
def test_a_folder_that_cannot_hold_cases_is_rejected(tmp_path, name, message):
    folder = tmp_path / "root"
    folder.mkdir()
    if name == "file":
        (folder / name).touch()
    with pytest.raises(DataError, match=message):
        scan_folder(folder / name)


def test_a_folder_whose_name_is_no_text_is_rejected_with_its_name_in_escapes(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller"))
    folder.mkdir()
    with pytest.raises(FolderError, match=r"M\\xfcller is not UTF-8"):
        scan_folder(folder)
