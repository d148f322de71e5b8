"""Swarm learning at hospitals with kits, in processes of their own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from consilium.poc.federation import Poc
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.federation import FederationRecord
from consilium.records.job_record import load_record

from .poc_on_laptop import ROOT, RunningPoc
from .studies import ANY_NUMBER, SMALL

pytestmark = [pytest.mark.integration, pytest.mark.long]

SITES = ("aster", "birch", "cedar")
ALLOWED = {"privacy": {"updates_to_hospitals": True}}


@pytest.fixture(scope="module")
def poc(laptop: RunningPoc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPoc]:
    folder = tmp_path_factory.mktemp("swarm")
    archive = folder / "hospitals"
    archive.mkdir()
    for site in (*SITES, "dahlia"):
        (archive / site).symlink_to((laptop.hospitals / "aster").resolve())
    started = replace(laptop, out=folder / "poc", hospitals=archive)
    try:
        project = write_project(folder / "project.yml")
        up = started.poc("up", "--hospitals", str(archive), "--project", str(project))
        assert up.returncode == 0, up.stderr
        yield started
    finally:
        Poc(started.out).end()


def write_project(file: Path) -> Path:
    """Write the POC's project file with four hospitals that train; one shows its updates to no other."""
    project: dict[str, Any] = yaml.safe_load((ROOT / "poc/project.yml").read_text())
    others = [one for one in project["participants"] if one["type"] != "client"]
    clients = [
        {
            "name": site,
            "type": "client",
            "org": f"{site}_hospital",
            "consilium": {
                "dataset": f"hospitals/{site}",
                "cpu_threads": 1,
                **ANY_NUMBER,
                **(ALLOWED if site in SITES else {}),
            },
        }
        for site in (*SITES, "dahlia")
    ]
    project["participants"] = [*others, *clients]
    file.write_text(yaml.safe_dump(project))
    return file


def test_its_job_trains_to_its_end_without_the_hospital_that_does_not_allow_it(
    poc: RunningPoc, tmp_path: Path
) -> None:
    small = {**SMALL, "rounds": 3, "rollback_margin": None, "task_request_seconds": 1.0}
    job = export_job(build_recipe("brain_tumor_swarm", small), tmp_path / "jobs")
    ended = poc.poc("submit", str(job))
    assert ended.returncode == 1, ended.stderr  # one of the hospitals has no part
    assert "partial" in ended.stderr
    record = load_record(Path(ended.stdout.strip()).parents[1])
    assert isinstance(record, FederationRecord)
    assert record.status == "finished", record.reason
    assert [[*one.questions["combine_updates"]] for one in record.rounds] == [[site] for site in SITES]
    for one in record.rounds:
        assert {site for site, entry in one.sites.items() if entry.outcome == "trained"} == {*SITES}
    declined = record.preparation["dahlia"]
    assert declined.outcome == "refused"
    assert "it lets no other hospital see its update (updates_to_hospitals)" in str(declined.reason)
