import subprocess
import sys

import pytest
from filelock import FileLock

from consilium.data.output_claim import claim_folder
from consilium.errors import ConfigurationError


def claim(folder, purpose="predictions"):
    with claim_folder(folder, "-o", purpose, ("cache", "state")) as claimed:
        return claimed


def test_a_new_and_an_empty_folder_are_marked_and_stay_usable(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "empty"):
        assert claim(folder) == folder
        (folder / "result").mkdir()
        assert claim(folder) == folder


@pytest.mark.parametrize("name", ["a_seg.nii.gz", "result", "state"])
def test_a_folder_with_other_files_is_left_as_it_is(tmp_path, name):
    (tmp_path / name).write_text("of an expert")
    with pytest.raises(ConfigurationError, match=f"holds other files than predictions, such as '{name}'"):
        claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_never_replaces_one_of_another_kind(tmp_path):
    claim(tmp_path, "a simulated training job")
    with pytest.raises(ConfigurationError, match="holds 'a simulated training job', and predictions would"):
        claim(tmp_path)


def test_what_the_system_puts_into_a_folder_is_nobody_s(tmp_path):
    for name in ("lost+found", ".snapshot"):
        (tmp_path / name).mkdir()
    claim(tmp_path)


def test_a_folder_of_an_earlier_version_is_known_by_its_names(tmp_path):
    for name in ("cache", "state", "result"):
        (tmp_path / name).mkdir()
    claim(tmp_path)


def test_a_mark_that_is_no_text_is_another_purpose(tmp_path):
    claim(tmp_path)
    (tmp_path / ".consilium/purpose").write_bytes(b"\xff\x1b[2J" * 100)
    with pytest.raises(ConfigurationError, match="name another folder") as caught:
        claim(tmp_path)
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


def test_a_mark_that_can_t_be_written_is_reported(tmp_path):
    (tmp_path / ".consilium").write_text("a file")
    with pytest.raises(ConfigurationError, match="can't be written"):
        claim(tmp_path)


@pytest.mark.parametrize("before", [False, True])
def test_two_runs_never_write_into_one_folder_at_once(tmp_path, before):
    if before:
        claim(tmp_path)
    with claim_folder(tmp_path, "-o", "predictions", ()):
        (tmp_path / "result").mkdir()
        with pytest.raises(ConfigurationError, match="is in use by another run; wait until it ends"):
            claim(tmp_path)
    claim(tmp_path)


def test_a_run_that_was_killed_leaves_the_folder_to_the_next_one(tmp_path):
    code = (
        "import os; from pathlib import Path; from consilium.data.output_claim import claim_folder\n"
        f"with claim_folder(Path({str(tmp_path)!r}), '-o', 'predictions', ()): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    claim(tmp_path)


def test_where_files_can_t_be_locked_runs_are_possible_as_well(tmp_path, monkeypatch):
    def acquire(self, **options):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    assert claim(tmp_path) == tmp_path
