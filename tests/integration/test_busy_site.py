"""A simulated site that prepares its cases for long: the server keeps hearing of it, and waits for it."""

import os
from pathlib import Path

import pytest

from .studies import ENVIRONMENT, export, simulate

pytestmark = pytest.mark.integration

SITES = ("north", "south")


@pytest.mark.long
def test_a_site_that_prepares_for_long_sends_heartbeats(hospitals, tmp_path, monkeypatch):
    """Without them, each would be lost after `quorum.silence_minutes`, and the job with them."""
    busy = tmp_path / "busy"
    busy.mkdir()
    monkeypatch.setitem(ENVIRONMENT, "CONSILIUM_BUSY", str(busy))
    path = [str(Path(__file__).with_name("busy")), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", os.pathsep.join(filter(None, path)))
    job = export(tmp_path / "jobs", {"rounds": 1})
    study = simulate(job, {name: hospitals[name] for name in SITES}, tmp_path / "out")
    assert study.code == 0, study.stderr
    assert {name: (busy / f"{name}.prepared").read_text() for name in SITES} == dict.fromkeys(SITES, "")
    assert {one["outcome"] for one in study.federation["rounds"][0]["sites"].values()} == {"trained"}
