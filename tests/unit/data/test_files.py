"""Modes are tested under every umask: none may open what is ours, and nothing may depend on a strict one."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from consilium.data import files
from consilium.data.case import ImageFile
from consilium.data.files import (
    OTHERS,
    close_tree,
    private_folder,
    private_opener,
    readable,
    write_atomically,
)

NOBODY = 65534


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o002, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_new_folder_and_its_missing_parents_are_private(umask, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    before = mode_of(home)
    made = private_folder(home / "a" / "b" / "c")
    assert made == home / "a/b/c"
    assert [mode_of(home / place) for place in ("a", "a/b", "a/b/c")] == [0o700] * 3
    assert mode_of(home) == before


def test_a_relative_folder_is_private_as_well(umask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    private_folder(Path("a/b"))
    assert [mode_of(tmp_path / place) for place in ("a", "a/b")] == [0o700] * 2


@pytest.mark.parametrize(("ours", "after"), [(True, 0o700), (False, 0o755)])
def test_an_existing_folder_is_closed_where_it_is_ours_and_left_alone_where_a_person_named_it(
    tmp_path, ours, after
):
    folder = tmp_path / "parent" / "folder"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        path.chmod(0o755)
    (folder / "inside").write_text("")
    private_folder(folder, ours=ours)
    assert (mode_of(folder), mode_of(folder.parent)) == (after, 0o755)
    assert (folder / "inside").exists()


@given(
    umask=st.integers(0, 0o077), mode=st.integers(0o700, 0o777), sticky=st.sampled_from([0, 0o1000, 0o2000])
)
def test_whatever_umask_and_mode_others_have_no_right(tmp_path_factory, umask, mode, sticky):
    root = tmp_path_factory.mktemp("any")
    old = root / "old"
    old.mkdir()
    old.chmod(sticky | mode)
    before = os.umask(umask)
    try:
        private_folder(old)
        private_folder(root / "new" / "inner")
        with open(root / "file", "w", opener=private_opener) as file:
            file.write("x")
        write_atomically(root / "atomic", b"x", durable=False)
    finally:
        os.umask(before)
    for path in root.rglob("*"):
        assert not mode_of(path) & OTHERS, path
        assert mode_of(path) & 0o600 == 0o600


def test_a_file_in_the_place_of_a_folder_is_an_error_and_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    path.chmod(0o644)
    with pytest.raises(FileExistsError):
        private_folder(path)
    assert mode_of(path) == 0o644


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to act as another account")
def test_a_folder_that_another_account_has_made_open_is_rejected(tmp_path):
    """Another account may put a folder of its own where ours is expected, and read what is written to it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    trap = shared / "cache"
    trap.mkdir()
    trap.chmod(0o777)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from consilium.data.files import private_folder\n"
        "os.chdir(sys.argv[1])\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "private_folder(Path('own/inner'))\n"
        "try:\n"
        "    private_folder(Path('cache'))\n"
        "except PermissionError:\n"
        "    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(shared)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")
    assert (shared / "own/inner").stat().st_uid == NOBODY


def test_a_file_system_that_keeps_no_modes_is_rejected(tmp_path, monkeypatch):
    folder = tmp_path / "mounted"
    folder.mkdir()
    folder.chmod(0o755)
    monkeypatch.setattr(files.Path, "chmod", lambda self, mode: None)  # as such a file system does
    with pytest.raises(PermissionError, match="its file system keeps no modes"):
        private_folder(folder)


def test_a_file_that_is_there_is_closed_before_it_is_written(umask, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("before\n")
    path.chmod(0o644)
    with open(path, "a", opener=private_opener) as file:
        assert mode_of(path) == 0o600
        file.write("after\n")
    assert path.read_text() == "before\nafter\n"


def test_a_file_that_can_not_be_opened_says_so(tmp_path):
    with pytest.raises(FileNotFoundError), open(tmp_path / "no" / "file", "w", opener=private_opener):
        pass


def test_a_tree_is_closed_and_what_its_links_lead_to_is_not(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("")
    tree = tmp_path / "tree"
    (tree / "startup").mkdir(parents=True)
    script = tree / "startup" / "start.sh"
    script.write_text("")
    (tree / "link").symlink_to(elsewhere)
    (tree / "file_link").symlink_to(elsewhere / "file")
    for path, mode in ((elsewhere, 0o755), (elsewhere / "file", 0o666), (tree, 0o777), (script, 0o755)):
        path.chmod(mode)
    close_tree(tree)
    assert (mode_of(tree), mode_of(script)) == (0o700, 0o700)
    assert (mode_of(elsewhere), mode_of(elsewhere / "file")) == (0o755, 0o666)


def test_new_files_of_this_process_and_its_children_are_private(tmp_path):
    program = (
        "import os, subprocess\n"
        "from consilium.processes import keep_new_files_private\n"
        "os.umask(0)\n"
        "keep_new_files_private()\n"
        "open('own', 'w').close()\n"
        "subprocess.run(['mkdir', 'folder'], check=True)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (mode_of(tmp_path / "own"), mode_of(tmp_path / "folder")) == (0o600, 0o700)


@pytest.mark.parametrize("name", [b"M\xfcller_t1.nii.gz", "Müller_t1.nii.gz".encode(), b"plain"])
def test_a_path_comes_back_from_json_as_it_was_whatever_its_bytes(name):
    volume = ImageFile(Path(os.fsdecode(b"/data/" + name)), channel=1)
    adapter = TypeAdapter(ImageFile)
    assert adapter.validate_json(adapter.dump_json(volume)) == volume


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (os.fsdecode(b"M\xfcller"), r"M\xfcller"),
        ("Müller", "Müller"),
        ("\ud800", r"\ud800"),
        (Path("a"), "a"),
    ],
)
def test_what_is_no_text_is_written_with_escapes(text, shown):
    assert readable(text) == shown
    assert readable(text).encode("utf-8")
