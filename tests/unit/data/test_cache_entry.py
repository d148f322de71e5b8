"""Entries of the cache on their way to the disk."""

import errno
import os
import resource
import signal

import pytest

from consilium.data.cohort import read_cohort
from consilium.errors import DataError
from consilium.tasks.brain_tumor.cases import CASES

from .test_cache_damage import ARRAYS, folder, prepare

__all__ = ["folder", "prepare"]


def test_an_entry_has_reached_the_disk_before_it_has_its_name(prepare, folder, monkeypatch):
    events, fsync, rename = [], os.fsync, type(folder).rename

    def noting(descriptor):
        events.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def renaming(path, target):
        if path.suffix == ".partial":
            events.append(f"rename {path.stem}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(type(folder), "rename", renaming)
    case = prepare()[1]
    moment = events.index(f"rename {case.folder.name}")
    partial = str(case.folder.with_suffix(".partial"))
    before, after = set(events[:moment]), events[moment + 1 :]
    assert before >= {partial, *(f"{partial}/{name}" for name in ARRAYS)}
    assert any(f"{partial}/.meta.json" in one for one in before)
    assert after[0] == str(folder)


def test_what_a_disk_says_when_it_is_full_is_not_lost(prepare, hospital):
    """numpy writes arrays in a way that shows how many bytes are missing, but not why."""
    read_cohort(hospital.folder, case_format=CASES)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(DataError) as caught:
            prepare()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
