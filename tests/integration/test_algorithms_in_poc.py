"""Jobs against drift at hospitals with kits, in processes of their own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consilium.poc.federation import Poc
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.federation import FederationRecord
from consilium.records.job_record import load_record

from .poc_on_laptop import SITES, RunningPoc, of_few_patients
from .studies import SMALL

pytestmark = [pytest.mark.integration, pytest.mark.long]

TRAINING = {"aster", "birch"}


@pytest.fixture(scope="module")
def poc(laptop: RunningPoc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPoc]:
    folder = tmp_path_factory.mktemp("algorithms")
    started = replace(laptop, out=folder / "poc")
    try:
        project = of_few_patients(folder / "project.yml")
        up = started.poc("up", "--hospitals", str(started.hospitals), "--project", str(project))
        assert up.returncode == 0, up.stderr
        yield started
    finally:
        Poc(started.out).end()


@pytest.mark.parametrize("algorithm", ["fedprox", "fedadam", "ditto"])
def test_its_job_trains_to_its_end(poc: RunningPoc, tmp_path: Path, algorithm: str) -> None:
    small = {**SMALL, "learning.local_epochs": None, "task_request_seconds": 1.0}
    job = export_job(build_recipe(f"brain_tumor_{algorithm}", small), tmp_path / "jobs")
    before = personal_models(poc)
    ended = poc.poc("submit", str(job))
    assert ended.returncode == 0, ended.stderr
    record = load_record(Path(ended.stdout.strip()).parents[1])
    assert isinstance(record, FederationRecord)
    assert (record.status, record.settings["algorithm"]["name"]) == ("finished", algorithm)
    assert record.final_scores.keys() == SITES.keys()
    for one in record.rounds:
        assert {site for site, entry in one.sites.items() if entry.outcome == "trained"} == TRAINING
    keeps = {path.relative_to(poc.out / "cache").parts[0] for path in personal_models(poc) - before}
    assert keeps <= (TRAINING if algorithm == "ditto" else set())  # where a site prefers its own


def personal_models(poc: RunningPoc) -> set[Path]:
    """What hospitals keep of all jobs so far."""
    return set((poc.out / "cache").glob("*/runs/*/personal_model/*.safetensors"))
