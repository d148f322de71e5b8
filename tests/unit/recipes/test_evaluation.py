"""The job of an evaluation: names and hashes of models, and never a weight."""

import json

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.recognition import recognize_recipe

DIGEST = f"sha256:{'a' * 64}"
JOB = "brain_tumor_evaluate"


def test_a_job_holds_names_and_hashes(tmp_path):
    recipe = build_recipe(JOB, {"models": [{"name": "final", "digest": DIGEST}], "min_patients": 7})
    files = recipe.files()
    assert files.server["workflows"][0]["args"]["models"] == [{"name": "final", "digest": DIGEST}]
    assert files.client["executors"][0]["executor"]["args"]["min_patients"] == 7
    assert files.client["executors"][0]["tasks"] == ["evaluate"]
    assert len(json.dumps([files.meta, files.server, files.client])) < 20_000
    assert recognize_recipe(files).settings == recipe.settings


@pytest.mark.parametrize(
    "models",
    [
        [{"name": "final", "digest": DIGEST}, {"name": "final", "digest": DIGEST}],
        [{"name": "../final", "digest": DIGEST}],
        [{"name": "final", "digest": "sha256:../../etc/passwd"}],
        [{"name": "final", "digest": DIGEST, "path": "/etc/passwd"}],
        [{"name": f"m{n}", "digest": DIGEST} for n in range(21)],
    ],
)
def test_a_model_of_another_form_is_refused(models):
    with pytest.raises(ConfigurationError):
        build_recipe(JOB, {"models": models})


def test_any_minimum_is_read_back():
    for minimum in (1, 5, 9):
        files = build_recipe(JOB, {"min_patients": minimum}).files()
        assert recognize_recipe(files).settings.min_patients == minimum


def test_another_minimum_at_the_sites_than_the_job_has_is_no_job():
    files = build_recipe(JOB, {"min_patients": 7}).files()
    files.client["executors"][0]["executor"]["args"]["min_patients"] = 0
    with pytest.raises(ConfigurationError):
        recognize_recipe(files)
