"""A file of the hospital is known again without being read, and never taken for another."""

import math
import os
import time

import numpy as np
import pytest

from consilium.data.case import Case, ImageFile
from consilium.data.sources import CaseReader, SourceIndex, identify, read_source
from consilium.data.sources import file as module
from consilium.tasks.segmentation.label_reading import read_label

from .clock import wait_for_later_times
from .hospital import label


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "image.nii.gz"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def settled(monkeypatch):
    """Trust files that were written a moment ago."""
    monkeypatch.setattr(module, "_CLOCK_MARGIN_NS", -(10**18))


def overwrite(path):
    path.write_bytes(b"other")


def exchange(path):
    other = path.with_name("other")
    other.write_bytes(b"other")
    other.replace(path)


def exchange_by_link(path):
    other = path.with_name("other")
    other.write_bytes(b"other")
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [overwrite, exchange, exchange_by_link])
def test_a_change_of_equal_size_and_time_is_another_identity(path, change):
    before, times = identify(path), path.stat()
    wait_for_later_times(path.parent)
    change(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = identify(path)
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)
    assert after != before


def test_a_file_is_not_trusted_before_its_times_can_tell_a_later_change(path):
    assert read_source(path).identity is None


def test_an_older_file_is_trusted(path, monkeypatch):
    later = time.time_ns() + 5 * 10**9
    monkeypatch.setattr(module.time, "time_ns", lambda: later)
    assert read_source(path).identity == identify(path)


def test_a_file_with_times_in_the_future_is_not_trusted(path, monkeypatch):
    later = time.time_ns() + 5 * 10**9
    monkeypatch.setattr(module.time, "time_ns", lambda: later)
    os.utime(path, (later // 10**9 + 60,) * 2)
    assert read_source(path).identity is None


def labeled_case(hospital, array, name="A_seg.nii.gz"):
    return Case(id="A", patient="A", images={}, target=ImageFile(hospital.image(name, array)))


def test_what_a_label_holds_is_known_in_the_next_process(hospital, tmp_path, settled):
    drawn = label((1, 2, 4)).astype(np.float32)
    drawn[0, 0, 0], drawn[0, 0, 1] = 2.5, math.inf
    case = labeled_case(hospital, drawn)
    first = read_label(case, SourceIndex(tmp_path / "kept"))
    assert first.values == (1, 2, 2.5, 4, math.inf)
    again = SourceIndex(tmp_path / "kept")
    assert read_label(case, again) == first
    assert again.release(case) == {}  # nothing was read


def test_an_image_in_the_place_of_a_label_takes_little_room(hospital, tmp_path, settled):
    image = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    case = labeled_case(hospital, image)
    assert len(read_label(case, SourceIndex(tmp_path / "kept")).values) == 1000
    (record,) = (tmp_path / "kept/sources").iterdir()
    assert record.stat().st_size < 50_000


def test_a_name_that_is_no_utf_8_is_known_again(hospital, tmp_path, settled):
    case = labeled_case(hospital, label((1, 2)), os.fsdecode(b"M\xfcller_seg.nii.gz"))
    first = read_label(case, SourceIndex(tmp_path / "kept"))
    again = SourceIndex(tmp_path / "kept")
    assert read_label(case, again) == first
    assert again.release(case) == {}


def test_what_is_known_of_a_label_outlives_the_reading_of_its_case(hospital, tmp_path, settled):
    case = labeled_case(hospital, label((1, 2)))
    index = SourceIndex(tmp_path / "kept")
    first = read_label(case, index)
    reader = CaseReader(case, index.recall(case), index.release(case))
    reader.key(None, "brain_tumor")
    record = reader.new_record()
    assert record is None or record.find(case.target.path).target == first


def test_a_case_s_key_is_of_what_was_read_and_not_of_what_was_known(hospital, tmp_path, settled):
    case = labeled_case(hospital, label((1, 2)))
    index = SourceIndex(tmp_path / "kept")
    read_label(case, index)
    known = CaseReader(case, index.recall(case)).known_key(None, "brain_tumor")
    reader = CaseReader(case, index.recall(case))
    hospital.image("A_seg.nii.gz", label((1, 4)))
    reader.read(case.target.path)
    assert reader.key(None, "brain_tumor") not in (known, None)
