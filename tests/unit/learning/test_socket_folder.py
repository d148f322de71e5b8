"""Where sockets lie, by the length of `TMPDIR`; multiprocessing remembers its folder, so in new processes."""

import os
import subprocess
import sys

import pytest

from consilium.learning import socket_folder

SCRIPT = """
import socket, sys
from consilium.errors import ConfigurationError
from consilium.learning import socket_folder
if len(sys.argv) > 1:
    socket_folder._SHORT_FOLDERS = (sys.argv[1],)
try:
    folder = socket_folder.socket_folder()
except ConfigurationError as error:
    sys.exit(str(error))
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(str(folder / ("x" * (socket_folder._LONGEST_NAME - 1))))
print(folder, oct(folder.stat().st_mode & 0o777), socket_folder.socket_folder() == folder)
"""


def run(folder, *arguments):
    environment = os.environ | {"TMPDIR": str(folder)}
    words = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def folder_of(tmp_path, length):
    folder = tmp_path / ("x" * (length - len(os.fsencode(tmp_path)) - 1))
    folder.mkdir()
    return folder


@pytest.mark.parametrize("length", [socket_folder.LONGEST_PATH - 40, socket_folder.LONGEST_PATH - 39, 180])
def test_sockets_fit_whatever_tmpdir_is(tmp_path_factory, length):
    base = tmp_path_factory.mktemp("t")
    if len(os.fsencode(base)) + 2 > length:
        pytest.skip("the tests' own folder is longer")
    result = run(folder_of(base, length))
    assert result.returncode == 0, result.stderr
    folder, mode, same = result.stdout.split()
    assert (mode, same) == ("0o700", "True")
    assert not os.path.exists(folder)  # noqa: PTH110 - removed with its process
    assert folder.startswith(str(base)) == (length <= socket_folder.LONGEST_PATH - 40)


def test_without_a_short_folder_the_message_says_what_to_do(tmp_path):
    result = run(folder_of(tmp_path, 180), str(tmp_path / "absent"))
    assert "has 180 bytes" in result.stderr
    assert "Start the site with a shorter TMPDIR." in result.stderr
