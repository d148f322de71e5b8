import errno
import multiprocessing
import os
import pickle
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from consilium.data.cache import CaseCache
from consilium.data.cached_case import EntrySource
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.errors import Cancelled, DataError
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.segmentation.cases import SegmentationCases

from .hospital import MODALITIES, Hospital

SETTINGS = CASES.preprocessing(1.0)


@pytest.fixture
def cohort(hospital):
    for case_id in "ABC":
        hospital.brats(case_id)
    return read_cohort(hospital.folder, case_format=CASES)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def built(monkeypatch):
    """Ids of the cases that were really preprocessed, in order."""
    ids = []
    _count_built(monkeypatch, ids.append)
    return ids


def _count_built(patch, note):
    """Call `note` with the id of each case that is really preprocessed, by a cache or for a damaged entry."""
    make, rebuild, prepare, current = CaseCache.make, EntrySource.rebuild, SegmentationCases.prepare, []

    def remember(case, call, *arguments):
        current[:] = [case.id]
        return call(*arguments)

    def counting(*arguments):
        note(current[0])
        return prepare(*arguments)

    def counted_make(cache, key, case, *more):
        return remember(case, make, cache, key, case, *more)

    def counted_rebuild(origin, *more):
        return remember(origin.case, rebuild, origin, *more)

    patch.setattr(CaseCache, "make", counted_make)
    patch.setattr(EntrySource, "rebuild", counted_rebuild)
    patch.setattr(SegmentationCases, "prepare", counting)


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name not in ("locks", "sources"))


def test_nothing_is_built_twice(cohort, folder, built):
    cache = CaseCache(folder, case_format=CASES, settings=SETTINGS)
    first, second = cache.prepare(cohort), cache.prepare(cohort)
    assert built == ["A", "B", "C"]
    assert first == second


def test_only_what_changed_is_built_again(cohort, folder, built, hospital):
    CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
    built.clear()
    (hospital.folder / "A/A_t1.nii.gz").write_bytes((hospital.folder / "A/A_t2.nii.gz").read_bytes())
    CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
    assert built == ["A"]


def test_settings_and_convention_are_part_of_an_entry(hospital, folder, built):
    hospital.brats("A", (1, 2))
    for convention in (LabelConvention.BRATS_2018, LabelConvention.DECATHLON):
        cohort = read_cohort(hospital.folder, case_format=CASES, convention=convention)
        for spacing_mm in (1.0, 2.0):
            settings = CASES.preprocessing(spacing_mm)
            CaseCache(folder, case_format=CASES, settings=settings).prepare(cohort)
    assert built == ["A"] * 4


def test_entries_name_no_patient(cohort, folder):
    CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
    for path in folder.rglob("*"):
        assert path.name not in {"A", "B", "C"}
    for meta in folder.glob("*/meta.json"):
        assert "hospital" not in meta.read_text()


def test_a_cached_case_travels_to_a_worker_as_a_few_paths(cohort, folder):
    case = CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort).cases[0]
    assert case.image.tobytes() not in pickle.dumps(case)
    content = pickle.dumps(case)
    assert len(content) < 8000
    assert np.array_equal(pickle.loads(content).image, case.image)


def test_a_failing_case_stops_no_other_and_joins_the_problems(folder, hospital):
    for case_id in "ABC":
        hospital.brats(case_id)
    hospital.brats("D", without=["t1"])
    cohort = read_cohort(hospital.folder, case_format=CASES)
    (hospital.folder / "B/B_t2.nii.gz").write_bytes(b"")
    (hospital.folder / "C/C_t2.nii.gz").unlink()
    prepared = CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
    assert [case.id for case in prepared.cases] == ["A"]
    assert [(p.case_id, p.code) for p in prepared.problems] == [
        ("B", DataCode.EMPTY_FILE),
        ("C", DataCode.UNREADABLE),
        ("D", DataCode.MISSING_IMAGE),
    ]


def test_progress_reaches_the_end_and_names_no_patient(cohort, folder):
    reported = []
    CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(
        cohort, progress=lambda *step: reported.append(step)
    )
    assert reported == [(done, 3, "preparing cases") for done in (1, 2, 3)]


def test_cancelling_stops_before_the_next_case_and_keeps_what_is_ready(cohort, folder, built):
    cache = CaseCache(folder, case_format=CASES, settings=SETTINGS)
    with pytest.raises(Cancelled):
        cache.prepare(cohort, cancelled=lambda: len(built) == 1)
    cache.prepare(cohort)
    assert built == ["A", "B", "C"]


def test_a_case_is_whole_again_after_a_shortage_of_file_descriptors(cohort, folder):
    case = CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort).cases[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="open files"):
            _ = case.image
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert case.image.shape[0] == len(MODALITIES)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("name", ["image.npy", "label.npy", "reference.npy", "voxels.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_entry_is_built_again(cohort, folder, built, name, damage):
    cache = CaseCache(folder, case_format=CASES, settings=SETTINGS)
    before = cache.prepare(cohort).cases[1]
    expected = before.image.copy()
    path = before.folder / name
    if damage == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2)
    built.clear()
    after = cache.prepare(cohort).cases[1]
    assert built == ["B"]
    assert np.array_equal(after.image, expected)


def test_least_recently_used_entries_of_others_go_first(cohort, folder, hospital):
    unlimited = CaseCache(folder, case_format=CASES, settings=SETTINGS)
    cases = unlimited.prepare(cohort).cases
    for age, case in zip((10, 30, 20), cases, strict=True):
        os.utime(case.folder / "meta.json", (1e9 - age, 1e9 - age))
    unlimited.prepare(replace(cohort, cases=cohort.cases[1:2]))  # the oldest is used again
    size = max(sum(file.stat().st_size for file in case.folder.iterdir()) for case in cases)
    (folder / "holiday photos").mkdir()

    other = hospital.folder.parent / "other"
    Hospital(other).brats("D")
    other_cohort = read_cohort(other, case_format=CASES)
    kept = (
        CaseCache(folder, case_format=CASES, settings=SETTINGS, max_bytes=2 * size + size // 2)
        .prepare(other_cohort)
        .cases
    )
    assert set(_entries(folder)) == {cases[1].folder, kept[0].folder, folder / "holiday photos"}


def test_the_present_cohort_is_never_evicted_but_rejected(cohort, folder):
    cases = CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort).cases
    size = max(sum(file.stat().st_size for file in case.folder.iterdir()) for case in cases)
    with pytest.raises(DataError, match=r"limited to .* GiB.*needs about .* GiB.*cache_gib"):
        CaseCache(folder, case_format=CASES, settings=SETTINGS, max_bytes=2 * size).prepare(cohort)
    assert len(_entries(folder)) == 3


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("1048576 requested and 40960 written"),  # numpy, without a number
        OSError("Not enough free space to write 35684352 bytes after offset 128"),  # numpy, above 16 MiB
    ],
)
def test_a_full_disk_is_named_and_leaves_nothing_half_built(cohort, folder, monkeypatch, error):
    def full(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(DataError, match="disk is full; make room, or set cache_dir"):
            CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
    assert _entries(folder) == []


def test_a_cache_that_is_no_folder_is_rejected(cohort, folder):
    folder.touch()
    with pytest.raises(DataError, match="can't be written"):
        CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)


def _build(folder, cohort, start, log):
    """Prepare in a process of its own and note what it built."""

    def note(case_id):
        with log.open("a") as file:
            file.write(f"{case_id}\n")

    with pytest.MonkeyPatch.context() as patch:
        _count_built(patch, note)
        start.wait()
        prepared = CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
        assert len(prepared.cases) == 3


def test_two_processes_at_once_build_each_case_once(cohort, folder, tmp_path):
    context = multiprocessing.get_context("fork")
    start, log = context.Barrier(2), tmp_path / "built.txt"
    workers = [context.Process(target=_build, args=(folder, cohort, start, log)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted(log.read_text().split()) == ["A", "B", "C"]


def _die_in_second_file(folder, cohort):
    """Be killed while the first entry is written."""
    save = np.save
    written = []

    def deadly(path, array, **options):
        if written:
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(path)
        save(path, array, **options)

    np.save = deadly
    CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)


def test_what_a_killed_process_left_is_removed_and_built_again(cohort, folder, built):
    worker = multiprocessing.get_context("fork").Process(target=_die_in_second_file, args=(folder, cohort))
    worker.start()
    worker.join(timeout=60)
    assert worker.exitcode == -signal.SIGKILL
    (leftover,) = _entries(folder)
    assert leftover.suffix == ".partial"
    assert len(CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort).cases) == 3
    assert built == ["A", "B", "C"]
    assert all(path.suffix == "" for path in _entries(folder))


def test_what_another_process_still_builds_is_left_alone(cohort, folder, hospital):
    foreign = "0" * 40
    (folder / "locks").mkdir(parents=True)
    (folder / f"{foreign}.partial").mkdir()
    with FileLock(folder / "locks" / f"{foreign}.lock"):
        CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
        assert (folder / f"{foreign}.partial").exists()
    CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
    assert not (folder / f"{foreign}.partial").exists()
