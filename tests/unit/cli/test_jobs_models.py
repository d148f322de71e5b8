"""`consilium jobs export --model`: the job names models, and their files lie beside it."""

import pytest
from bundle.conftest import LEARNING, write_model

from consilium.recipes.exported_job import read_exported_evaluation

from .test_jobs_from import run  # noqa: F401


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "result/model.safetensors", job="first job")


def test_models_are_written_beside_the_job_with_their_settings(run, model, tmp_path):  # noqa: F811
    code, err = run(
        "brain_tumor_evaluate", "--model", f"final={model.parent}@final", "--set", "min_patients=3"
    )
    assert code == 0, err
    assert "local/models/ of the server's kit" in err
    settings = read_exported_evaluation(tmp_path / "jobs/brain_tumor_evaluate")
    (one,) = settings.models
    assert (one.name, settings.min_patients, settings.learning) == ("final", 3, LEARNING)
    assert (tmp_path / "jobs/models" / one.file_name).read_bytes() == model.read_bytes()


def test_one_model_under_two_names_is_reported(run, model):  # noqa: F811
    code, err = run("brain_tumor_evaluate", "--model", f"a={model}", "--model", f"b={model.parent}@final")
    assert code == 0, err
    assert err.count("before you submit the job, put") == 1
    assert "a and b are the same model" in err


def test_a_job_that_evaluates_nothing_takes_no_model(run, model):  # noqa: F811
    code, err = run("brain_tumor_fedavg", "--model", f"final={model}")
    assert code == 2
    assert "leave --model out" in err
    code, err = run("brain_tumor_evaluate", "--model", "final=/nowhere")
    assert code == 2
    assert "does not exist" in err
