"""A preprocessed case is used as it was written, or made again: nobody trains on what a disk made of it."""

import errno
import multiprocessing
import os
import re
import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from consilium.data import cache_entry, cached_case
from consilium.data.cache import CaseCache
from consilium.data.cached_case import EntrySource, UnreadableCase
from consilium.data.case import CaseError
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.data.finding import Finding
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.segmentation.cases import SegmentationCases

from .clock import wait_for_later_times

SETTINGS = CASES.preprocessing(1.0)
ARRAYS = ("image.npy", "label.npy", "reference.npy", "voxels.npy")


def zero(content):
    return bytes(len(content))


def zero_the_voxels(content):
    return content[:128] + bytes(len(content) - 128)


def zero_a_page(content):
    start = len(content) // 2
    return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


def flip_a_bit(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def name_objects(content):
    """The header for which numpy's advice is `allow_pickle`."""
    return re.sub(rb"'descr': '...'", b"'descr': '|O8'", content, count=1)


DAMAGES = [zero, zero_the_voxels, zero_a_page, flip_a_bit, name_objects]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def prepare(hospital, folder):
    """Prepare two cases, as each job does."""
    for case_id in "AB":
        hospital.brats(case_id)

    def run():
        cohort = read_cohort(hospital.folder, case_format=CASES)
        return CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort).cases

    return run


@pytest.fixture
def rebuilt(monkeypatch):
    """Ids of the cases whose entries were made again."""
    ids, rebuild = [], EntrySource.rebuild

    def counting(origin, *rest):
        ids.append(origin.case.id)
        return rebuild(origin, *rest)

    monkeypatch.setattr(EntrySource, "rebuild", counting)
    return ids


def content_of(case):
    return {
        "image.npy": np.array(case.image),
        "label.npy": np.array(case.label),
        "reference.npy": np.array(case.reference),
        "voxels.npy": {int(tissue): rows.tolist() for tissue, rows in case.class_voxels.items()},
    }


def spoil(path, damage):
    """Change a file's content and neither its size nor the time of its last write."""
    times, content = path.stat(), path.read_bytes()
    spoiled = damage(content)
    assert spoiled != content
    assert len(spoiled) == len(content)
    with path.open("r+b") as file:
        file.write(spoiled)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.quick_cases(7)
@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("when", ["before it is read", "after it was read"])
def test_a_damaged_file_of_equal_size_and_time_is_made_again(prepare, rebuilt, name, damage, when):
    case = prepare()[1]
    expected = content_of(replace(case))
    wait_for_later_times(case.folder)
    if when == "before it is read":
        case = prepare()[1]
    spoil(case.folder / name, damage)
    np.testing.assert_equal(content_of(replace(case)), expected)
    assert rebuilt == ["B"]
    np.testing.assert_equal(content_of(prepare()[1]), expected)
    assert rebuilt == ["B"]


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_without_its_source_a_damaged_case_is_unreadable_in_plain_words(prepare, hospital, name, damage):
    case = prepare()[1]
    spoil(case.folder / name, damage)
    (hospital.folder / "B/B_t1.nii.gz").unlink()
    with pytest.raises(UnreadableCase) as caught:
        content_of(case)
    assert f"{name} is not what was written, and it can't be made again" in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_a_source_that_has_changed_since_is_not_put_in_its_place(prepare, hospital):
    case = prepare()[1]
    spoil(case.folder / "image.npy", zero_the_voxels)
    (hospital.folder / "B/B_t1.nii.gz").write_bytes((hospital.folder / "A/A_t1.nii.gz").read_bytes())
    with pytest.raises(UnreadableCase, match="the files that it was made of have changed"):
        _ = case.image
    assert prepare()[1].image.any()  # the next job makes an entry of what is there now


def test_an_entry_that_can_t_be_made_again_is_made_by_the_next_job(prepare, hospital):
    case = prepare()[1]
    expected = content_of(replace(case))
    spoil(case.folder / "image.npy", zero_the_voxels)
    path = hospital.folder / "B/B_t1.nii.gz"
    away = path.rename(path.with_suffix(".away"))
    with pytest.raises(UnreadableCase):
        _ = case.image
    away.rename(path)
    np.testing.assert_equal(content_of(prepare()[1]), expected)


def shortages():
    """Where the machine may be short of something, or a fault of ours shows, while an entry is made again."""
    too_many = OSError(errno.EMFILE, "Too many open files")
    denied = CaseError(Finding(case_id="B", code=DataCode.PERMISSION_DENIED, detail="It can't be opened."))
    return [
        pytest.param(SegmentationCases, "prepare", MemoryError(), id="memory to preprocess"),
        pytest.param(SegmentationCases, "prepare", KeyError("program"), id="a fault of ours"),
        pytest.param(SegmentationCases, "prepare", too_many, id="descriptors to preprocess"),
        pytest.param(SegmentationCases, "examine", MemoryError(), id="memory to read"),
        pytest.param(SegmentationCases, "examine", too_many, id="descriptors to read"),
        pytest.param(SegmentationCases, "examine", denied, id="access"),
        pytest.param(cached_case, "build_entry", too_many, id="descriptors to lock"),
        pytest.param(cache_entry, "write_entry", MemoryError(), id="memory to write"),
        pytest.param(cache_entry, "write_entry", OSError(errno.ENOSPC, "full"), id="disk"),
    ]


@pytest.fixture
def waits(monkeypatch):
    """What was waited for, in s, without the wait; threads of other tests sleep as before."""
    waited = []
    monkeypatch.setattr(cached_case, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(("module", "name", "error"), shortages())
def test_what_lasts_while_a_case_is_made_again_costs_this_case_and_no_entry(
    prepare, monkeypatch, waits, module, name, error
):
    case = prepare()[1]
    expected = content_of(replace(case))
    spoil(case.folder / "image.npy", zero_the_voxels)

    def fail(*args, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        with pytest.raises(UnreadableCase, match="can't be made again"):
            _ = case.image
    assert waits == ([] if isinstance(error, KeyError) else list(cached_case.RETRY_WAITS_S))
    assert (case.folder / "meta.json").exists() or module is cache_entry
    np.testing.assert_equal(content_of(replace(case)), expected)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("module", "name", "error"), [one for one in shortages() if one.id != "a fault of ours"]
)
def test_what_passes_while_a_case_is_made_again_costs_nothing(
    prepare, monkeypatch, waits, module, name, error
):
    case = prepare()[1]
    expected = content_of(replace(case))
    spoil(case.folder / "image.npy", zero_the_voxels)
    original, failures = getattr(module, name), [error, error]

    def fail_twice(*args, **options):
        if failures:
            raise failures.pop()
        return original(*args, **options)

    monkeypatch.setattr(module, name, fail_twice)
    np.testing.assert_equal(content_of(case), expected)
    assert waits == list(cached_case.RETRY_WAITS_S[:2])


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("damage", [zero, zero_a_page, flip_a_bit])
def test_a_damaged_description_is_noticed_when_a_job_prepares(prepare, damage):
    case = prepare()[1]
    expected = content_of(replace(case))
    spoil(case.folder / "meta.json", damage)
    again = prepare()[1]
    assert again == case
    np.testing.assert_equal(content_of(again), expected)


def test_another_digit_in_a_description_is_noticed_as_well(prepare):
    case = prepare()[1]
    path = case.folder / "meta.json"
    text = path.read_text()
    path.write_text(text.replace('"crop_start":[1', '"crop_start":[2', 1))
    assert path.read_text() != text
    assert prepare()[1].geometry == case.geometry


def _read_image(case, start, results):
    start.wait()
    results.put(bool(case.image.any()))


@pytest.mark.long
def test_processes_that_meet_one_damaged_entry_make_it_again_together(prepare):
    case = prepare()[1]
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(3), context.Queue()
    spoil(case.folder / "image.npy", zero_the_voxels)
    readers = [context.Process(target=_read_image, args=(case, start, results)) for _ in range(3)]
    for reader in readers:
        reader.start()
    assert [results.get(timeout=60) for _ in readers] == [True] * 3
    for reader in readers:
        reader.join(timeout=60)


def test_a_file_is_compared_once_and_not_at_every_access(prepare, monkeypatch):
    case = prepare()[0]
    read, crc32 = [], zlib.crc32

    def counting(block, *rest):
        read.append(len(block))
        return crc32(block, *rest)

    monkeypatch.setattr(zlib, "crc32", counting)
    for _ in range(3):
        _ = case.image
    assert sum(read) == (case.folder / "image.npy").stat().st_size
