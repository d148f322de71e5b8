import os
import time

import pytest

from consilium.records.job_status import SecondStart
from consilium.records.site_connection import (
    SECOND_START_FILE,
    is_shut_out,
    read_second_start,
    save_second_start,
)

TWICE = SecondStart(first="process 11 at 10.0.0.5", second="process 13 at 10.0.0.6", since=1.0)


def test_a_second_start_is_known_for_as_long_as_the_server_says_so(tmp_path):
    assert read_second_start(tmp_path) is None
    save_second_start(tmp_path, TWICE)
    assert read_second_start(tmp_path) == TWICE
    path = tmp_path / SECOND_START_FILE
    assert path.stat().st_mode & 0o077 == 0
    os.utime(path, (time.time() - 200, time.time() - 200))
    assert read_second_start(tmp_path) is None


def test_a_damaged_file_says_nothing(tmp_path):
    save_second_start(tmp_path, TWICE)
    (tmp_path / SECOND_START_FILE).write_text("{")
    assert read_second_start(tmp_path) is None


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("Client 'north' is disabled", True),
        ("Client 'north' is disabled\nSuccessfully registered client:north", False),
        ("Successfully registered client:north\nClient 'south' is disabled", False),
    ],
)
def test_the_last_word_of_the_log_says_whether_the_site_is_shut_out(tmp_path, log, expected):
    assert not is_shut_out(tmp_path, "north")  # it has never run
    (tmp_path / "log.txt").write_text(f"{log}\n")
    assert is_shut_out(tmp_path, "north") is expected
