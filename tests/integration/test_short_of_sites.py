"""A job that ends before its first round, as too few hospitals can train, leaves a report all the same."""

import pytest

from .studies import ENVIRONMENT, export, simulate

pytestmark = pytest.mark.integration

LONG_TMPDIR = "x" * 120


@pytest.fixture(scope="module")
def short(hospitals, tmp_path_factory):
    """With a `TMPDIR` as long as Slurm's: FLARE's simulator opens a socket below it."""
    folder = tmp_path_factory.mktemp("short")
    for name in ("vacant", LONG_TMPDIR):
        (folder / name).mkdir()
    sites = {"north": hospitals["north"], "vacant": folder / "vacant"}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(folder / LONG_TMPDIR))
        return simulate(export(folder / "job", {"min_sites": 2}), sites, folder / "out")


def test_the_command_fails_and_names_the_report(short):
    assert short.code == 2
    assert "1 site can train, and min_sites is 2" in short.stderr
    assert str(short.out / "report/index.html") in short.stderr
    assert not short.stdout


def test_the_report_has_each_sites_reason_and_remedy(short):
    report = short.report
    assert (report["status"], report["outcome"], report["rounds"]) == ("failed", "failure", [])
    assert report["sites"]["north"]["train_cases"] > 0
    assert report["sites"]["north"]["reason"] is None
    vacant = report["sites"]["vacant"]
    assert vacant["reason"].startswith("the dataset folder as a whole can't be used")
    assert "check-site" in vacant["remedy"]
    page = (short.out / "report/index.html").read_text()
    assert "vacant is missing from the preparation: the dataset folder" in page
    assert str(short.out.parent) not in page
