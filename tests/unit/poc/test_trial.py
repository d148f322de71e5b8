"""What a proof of concept does before it submits a job: the model that the job starts from."""

import pytest
from bundle.conftest import LEARNING, write_model

from consilium.errors import ConfigurationError
from consilium.learning.model_store import ModelStore
from consilium.poc import trial
from consilium.poc.command import PocError
from consilium.poc.trial import run_job
from consilium.prediction.warm_start import WarmStart
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.simulation.display import Display


class Submitted(PocError):
    """The job was submitted, which ends the test."""


class PocStub:
    """Stands for a POC whose processes run."""

    def __init__(self, kits):
        self.kits = kits
        self.server = "server"

    def project(self):
        return self

    def sites(self):
        return {}

    def submit(self, job):
        raise Submitted(f"{job.name} was submitted")


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "require_enough_sites", lambda *args, **options: [])
    start = WarmStart.open(write_model(tmp_path / "model.safetensors"), LEARNING)
    ModelStore.beside(tmp_path / "jobs/brain_tumor_fedavg").add(start.content)
    changes = {"initial": start.initial.model_dump(mode="json")}
    return export_job(build_recipe("brain_tumor_fedavg", changes), tmp_path / "jobs")


def test_the_server_has_the_model_before_the_job_is_submitted(job, tmp_path):
    with pytest.raises(Submitted):
        run_job(PocStub(tmp_path / "kits"), job, Display())
    (file,) = (tmp_path / "kits/server/local/models").iterdir()
    assert file.read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_nothing_is_submitted_without_the_model(job, tmp_path):
    for file in (tmp_path / "jobs/models").iterdir():
        file.unlink()
    with pytest.raises(ConfigurationError, match=r"put the file \w+\.safetensors, which `consilium jobs exp"):
        run_job(PocStub(tmp_path / "kits"), job, Display())
