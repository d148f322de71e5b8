import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from nvflare.tool.job.config.config_indexer import load_pyhocon_conf
from nvflare.utils.cli_utils import save_config

from consilium.federation.server_guard import SubmittedJobValidator
from consilium.recipes.catalog import build_recipe, export_job


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Which classes a server allows is not the question here, and no server runs.
    monkeypatch.setattr("consilium.federation.server_guard.why_forbidden", lambda class_path: None)
    return export_job(build_recipe("brain_tumor_fedavg_gpu"), tmp_path / "jobs")


def submitted_meta(job: Path) -> dict:
    archive = job.with_suffix(".zip")
    with ZipFile(archive, "w") as zipped:
        for path in sorted(job.rglob("*")):
            zipped.write(path, path.relative_to(job.parent))
    valid, reason, meta = SubmittedJobValidator().validate(job.name, str(archive))
    assert valid, reason
    return meta


def test_every_site_is_asked_for_the_gpus_of_a_job_from_the_console(job):
    assert submitted_meta(job)["resource_spec"] == {"@default": {"num_of_gpus": 1}}


def test_every_site_is_asked_for_the_gpus_of_a_job_from_nvflare_job_submit(job):
    # What the command does to the description before it uploads it.
    config, _ = load_pyhocon_conf("meta.json", str(job))
    save_config(config, str(job / "meta.json"))
    sent = json.loads((job / "meta.json").read_text())
    assert sent["resource_spec"] == {"default": {"num_of_gpus": 1}}, "FLARE keeps @default: drop the repair"
    assert submitted_meta(job)["resource_spec"] == {"@default": {"num_of_gpus": 1}}
