"""`consilium jobs export --from`: the job names a model, and its file lies beside it."""

import sys

import pytest
from bundle.conftest import LEARNING, write_model

from consilium.bundle.writer import write_bundle
from consilium.cli.main import main
from consilium.learning.model_store import digest_of, file_name
from consilium.recipes.exported_job import read_exported_job


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def run(name, *words):
        options = ("--to", tmp_path / "jobs", *words)
        monkeypatch.setattr(sys, "argv", list(map(str, ("consilium", "jobs", "export", name, *options))))
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "PotentialSecretWarning" not in err
        return code, err

    return run


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "result/model.safetensors", job="first job")


def test_a_bundle_starts_a_job(run, model, tmp_path):
    bundle = write_bundle(model, tmp_path / "bundle")
    code, err = run("brain_tumor_fedavg", "--from", bundle, "--set", "learning.patch_voxels=32")
    assert code == 0
    assert "starts from first job" in err
    job = read_exported_job(tmp_path / "jobs/brain_tumor_fedavg")
    assert job.initial is not None
    assert job.initial.digest == digest_of(model.read_bytes())
    assert (tmp_path / "jobs/models" / file_name(job.initial.digest)).read_bytes() == model.read_bytes()
    assert "local/models/" in err


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("brain_tumor_fedavg_gpu", (), "set learning.network=unet_small"),
        ("brain_tumor_stats", (), "trains nothing"),
        ("brain_tumor_fedavg", ("--set", "local_only=true"), "leave one of them out"),
    ],
)
def test_a_job_that_can_t_start_from_it_is_refused(run, model, name, words, message):
    code, err = run(name, "--from", model, *words)
    assert code == 2
    assert message in err


def test_the_model_s_settings_need_not_be_the_job_s(run, model, tmp_path):
    assert run("brain_tumor_fedavg", "--from", model)[0] == 0
    assert read_exported_job(tmp_path / "jobs/brain_tumor_fedavg").learning != LEARNING
