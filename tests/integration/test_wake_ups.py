"""A job whose sites request tasks rarely, in the simulator: the server wakes them."""

import json
import os
from pathlib import Path

import pytest

from .studies import ENVIRONMENT, export, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]

INTERVAL = 60.0
"""Seconds between requests; far more than a round takes."""


def test_no_task_waits_for_a_sites_next_request(hospitals, tmp_path, monkeypatch):
    waits = tmp_path / "waits"
    waits.mkdir()
    monkeypatch.setitem(ENVIRONMENT, "CONSILIUM_WAITS", str(waits))
    path = [str(Path(__file__).parent / "waits"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", os.pathsep.join(filter(None, path)))
    job = export(tmp_path / "jobs", {"task_request_seconds": INTERVAL})
    study = simulate(job, {name: hospitals[name] for name in ("north", "south")}, tmp_path / "out")
    assert study.code == 0, study.stderr
    sites = [[json.loads(row) for row in file.read_text().splitlines()] for file in waits.iterdir()]
    assert len(sites) == 2
    for rows in sites:
        tasks = [index for index, row in enumerate(rows) if row["task"]]
        assert len(tasks) >= 4  # preparation, two rounds, the final evaluation
        assert all(rows[index]["seconds"] == INTERVAL for index in tasks)
        assert all(rows[index - 1]["woken"] for index in tasks if index)
