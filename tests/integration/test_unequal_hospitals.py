"""A hospital without an image and without a region in its labels, in a job whose rounds end by time."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from .studies import export, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]

STEPS = 100_000
"""Of a round, if no time ended it."""


@pytest.fixture(scope="module")
def unequal(hospitals, tmp_path_factory):
    """Its enhancing tumor is drawn as part of the core, and it acquires no T1."""
    folder = tmp_path_factory.mktemp("unequal")
    archive = shutil.copytree(hospitals["north"], folder / "archive")
    for path in archive.rglob("*_t1.nii*"):
        path.unlink()
    for path in archive.rglob("*_seg.nii*"):
        label = nib.load(path)
        values = np.asarray(label.dataobj).copy()
        values[values == 4] = 1
        nib.Nifti1Image(values.astype(np.uint8), label.affine).to_filename(path)
    changes = {
        "learning.modality_dropout": 0.2,
        "learning.round_minutes": 0.01,
        "learning.local_steps": STEPS,
    }
    return simulate(
        export(folder / "jobs", changes),
        {"unequal": archive, "south": hospitals["south"]},
        folder / "out",
        *("--missing", "unequal=t1", "--missing", "unequal=et", "--convention", "unequal=brats-2018"),
    )


def test_it_takes_part_and_its_scores_are_of_the_regions_that_it_has(unequal):
    assert unequal.code == 0, unequal.stderr
    record = unequal.federation
    assert record["status"] == "finished"
    for scores in (*(one["scores"] for one in record["rounds"]), record["final_scores"]):
        assert {"dice", "dice_tc", "dice_wt"} <= scores["unequal"].keys()
        assert not any(name.endswith("_et") for name in scores["unequal"])
        assert "dice_et" in scores["south"]
    assert record["best_round"] in (1, 2)
    assert unequal.report["sites"]["unequal"]["left_out"] == {}
    page = (unequal.out / "report/index.html").read_text()
    assert "The labels of unequal lack et" in page
    assert "modality dropout of 0.2" in page


def test_time_ends_its_rounds_and_no_site_waits_for_the_steps(unequal):
    for one in unequal.federation["rounds"]:
        for site in one["sites"].values():
            assert site["outcome"] == "trained"
            assert 0 < site["report"]["steps"] < STEPS
