"""A job that ends before its first round, as too few hospitals can train, leaves a report all the same."""

import os
import shutil

import pytest

from .studies import ENVIRONMENT, export, simulate

pytestmark = pytest.mark.integration

LONG_TMPDIR = "x" * 120


@pytest.fixture(scope="module")
def short(hospitals, tmp_path_factory):
    """With a `TMPDIR` as long as Slurm's: FLARE's simulator opens a socket below it."""
    folder = tmp_path_factory.mktemp("short")
    (folder / LONG_TMPDIR).mkdir()
    damaged = shutil.copytree(hospitals["south"], folder / "damaged")
    for image in damaged.rglob("*.nii*"):  # which is found only when images are read
        if "label" not in str(image.relative_to(damaged)) and "seg" not in image.name:
            os.truncate(image, 100)
    sites = {"north": hospitals["north"], "damaged": damaged}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(folder / LONG_TMPDIR))
        return simulate(export(folder / "job", {"min_sites": 2}), sites, folder / "out")


@pytest.mark.long
def test_the_command_fails_and_names_the_report(short):
    assert short.code == 2
    assert "1 site can train, and min_sites is 2" in short.stderr
    assert str(short.out / "report/index.html") in short.stderr
    assert not short.stdout


@pytest.mark.long
def test_the_report_has_each_sites_reason_and_remedy(short):
    report = short.report
    assert (report["status"], report["outcome"], report["rounds"]) == ("failed", "failure", [])
    assert report["sites"]["north"]["train_cases"] > 0
    assert report["sites"]["north"]["reason"] is None
    damaged = report["sites"]["damaged"]
    assert damaged["reason"].startswith("no usable labeled case")
    assert damaged["remedy"]
    page = (short.out / "report/index.html").read_text()
    assert "damaged is missing from the preparation: no usable labeled case" in page
    assert str(short.out.parent) not in page


def test_what_names_tell_is_known_before_anything_starts(hospitals, tmp_path):
    (tmp_path / "vacant").mkdir()
    sites = {"north": hospitals["north"], "vacant": tmp_path / "vacant"}
    refused = simulate(export(tmp_path / "job", {"min_sites": 2}), sites, tmp_path / "out")
    assert refused.code == 2
    assert "1 site can train, and min_sites is 2; nothing was started" in refused.stderr
    assert f"vacant: The dataset folder {tmp_path / 'vacant'} is empty" in refused.stderr
    assert not (tmp_path / "out/simulation/server").exists()
