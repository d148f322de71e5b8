"""The file that a start writes its name into: a plain one of the workspace, whatever lies there."""

import json
import os

import pytest

from consilium.errors import ConfigurationError
from consilium.guard.kit_processes import LOCK_FILE
from consilium.guard.start_check import check_start
from consilium.guard.workspace_lock import WorkspaceIsTaken, describe_holder, open_lock, take


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nothing_is_written_through_a_link(tmp_path, link):
    kit, other = tmp_path / "north", tmp_path / "precious"
    kit.mkdir()
    other.write_text("precious")
    link(other, kit / LOCK_FILE)
    inherited = os.open(kit / LOCK_FILE, os.O_RDWR | os.O_APPEND)  # as the start script opens it
    try:
        for attempt in (
            lambda: take(open_lock(kit), kit),
            lambda: take(inherited, kit),
            lambda: check_start(kit, inherited),
            lambda: check_start(kit),
        ):
            with pytest.raises(ConfigurationError, match="link"):
                attempt()
    finally:
        os.close(inherited)
    assert other.read_text() == "precious"


def test_a_pipe_in_its_place_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / LOCK_FILE)
    with pytest.raises(ConfigurationError, match="no plain file"):
        check_start(tmp_path)


def test_a_descriptor_of_another_file_locks_nothing(tmp_path):
    (tmp_path / LOCK_FILE).touch()
    (tmp_path / "other").write_text("precious")
    other = os.open(tmp_path / "other", os.O_RDWR)
    try:
        with pytest.raises(ConfigurationError):
            take(other, tmp_path)
    finally:
        os.close(other)
    assert (tmp_path / "other").read_text() == "precious"


@pytest.mark.parametrize(
    "said",
    [
        b"", b"\xff", b"[]", b"[" * 100_000, b'{"host": 1}',
        json.dumps({"host": "a", "process": 1, "since": 1e300}).encode(),
        json.dumps({"host": "a", "process": 1, "since": float("nan")}).encode(),
        json.dumps({"host": "\x1b[2J\nSUCCESS", "process": 1, "since": 1.0}).encode(),
    ],
)  # fmt: skip
def test_whatever_stands_in_it_the_second_start_is_rejected_in_one_line(tmp_path, said):
    first, second = open_lock(tmp_path), open_lock(tmp_path)
    try:
        take(first, tmp_path)
        (tmp_path / LOCK_FILE).write_bytes(said)
        with pytest.raises(WorkspaceIsTaken, match="this kit runs already"):
            take(second, tmp_path)
        assert describe_holder(tmp_path).isprintable()
    finally:
        os.close(first)
        os.close(second)
