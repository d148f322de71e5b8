import gzip
import os

import numpy as np
import pytest

from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.segmentation.codes import VolumeCode


def _damage(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "wrong checksum":
        path.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    elif how == "short inside":
        path.write_bytes(gzip.compress(gzip.decompress(content)[:-100]))
    elif how == "no image":
        path.write_bytes(gzip.compress(b"<html>Please log in</html>" * 40))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "dangling link":
        path.unlink()
        path.symlink_to("gone.nii.gz")


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("cut", DataCode.TRUNCATED),
        ("wrong checksum", DataCode.TRUNCATED),
        ("short inside", DataCode.TRUNCATED),
        ("no image", DataCode.UNREADABLE),
        ("empty", DataCode.EMPTY_FILE),
        ("dangling link", DataCode.DANGLING_LINK),
    ],
)
def test_a_damaged_label_costs_one_case(hospital, how, code):
    hospital.brats("A")
    _damage(hospital.brats("B") / "B_seg.nii.gz", how)
    cohort = read_cohort(hospital.folder, case_format=CASES)
    assert [case.id for case in cohort.cases] == ["A"]
    assert [(problem.case_id, problem.code) for problem in cohort.problems] == [("B", code)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run as another user")
def test_forbidden_files_and_folders_cost_their_cases(hospital):
    hospital.brats("A")
    (hospital.brats("B") / "B_seg.nii.gz").chmod(0)
    closed = hospital.brats("C")
    closed.chmod(0)
    try:
        cohort = read_cohort(hospital.folder, case_format=CASES)
    finally:
        closed.chmod(0o700)
    assert [case.id for case in cohort.cases] == ["A"]
    assert [(p.case_id, p.code) for p in cohort.problems] == [
        ("B", DataCode.PERMISSION_DENIED),
        ("C", DataCode.PERMISSION_DENIED),
    ]


def test_a_4d_label_is_a_problem(hospital):
    hospital.brats("A")
    hospital.image("A/A_seg.nii.gz", np.zeros((12, 14, 10, 2), np.uint8))
    (problem,) = read_cohort(hospital.folder, case_format=CASES).problems
    assert problem.code == VolumeCode.NOT_3D


def test_progress_counts_labels_and_names_no_patient(hospital):
    for case_id in "ABC":
        hospital.brats(case_id)
    reported = []
    read_cohort(hospital.folder, case_format=CASES, progress=lambda *step: reported.append(step))
    assert reported == [(1, 3, "reading labels"), (2, 3, "reading labels"), (3, 3, "reading labels")]


def test_progress_leaves_under_our_name_whatever_a_task_calls_it(hospital):
    hospital.brats("A")

    class Talkative:
        """A format whose progress names files."""

        def __getattr__(self, name):
            return getattr(CASES, name)

        def open_folder(self, *where):
            return Dataset(CASES.open_folder(*where))

    class Dataset:
        def __init__(self, dataset):
            self.dataset = dataset

        def __getattr__(self, name):
            return getattr(self.dataset, name)

        def read_targets(self, cases, *, progress, **options):
            progress(0, 1, f"reading {cases[0].target}")
            return self.dataset.read_targets(cases, progress=progress, **options)

    reported = []
    read_cohort(hospital.folder, case_format=Talkative(), progress=lambda *step: reported.append(step))
    assert reported == [(0, 1, "reading labels"), (1, 1, "reading labels")]
