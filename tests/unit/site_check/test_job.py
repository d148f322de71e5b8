import json

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.site_check.job import load_site_job

JOB = "brain_tumor_fedavg"


def test_a_job_is_the_same_by_its_name_and_by_its_folder(tmp_path):
    by_folder = load_site_job(str(export_job(build_recipe(JOB), tmp_path)))
    assert by_folder == load_site_job(JOB)
    assert by_folder.learning.network == "unet_small"
    assert "consilium.federation.site.executor.SiteExecutor" in by_folder.classes


def test_a_folder_s_own_settings_count(tmp_path):
    folder = export_job(build_recipe(JOB, {"learning.spacing_mm": 1.0, "gpus_per_site": 2}), tmp_path)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "scope": "study-7"}))
    job = load_site_job(str(folder))
    assert (job.learning.spacing_mm, job.scope, job.gpus_at("north")) == ((1.0, 1.0, 1.0), "study-7", 2)


@pytest.mark.parametrize("name", ["nnunet", "no/such/folder"])
def test_what_is_no_job_names_those_that_are(name):
    with pytest.raises(ConfigurationError, match="consilium jobs list"):
        load_site_job(name)


@pytest.mark.parametrize("name", ["brain_tumor_check", "brain_tumor_stats"])
def test_a_job_that_trains_nothing_is_rejected(name):
    with pytest.raises(ConfigurationError, match=rf"'{name}' trains nothing.*brain_tumor_fedavg"):
        load_site_job(name)


def test_a_folder_that_is_no_job_is_rejected(tmp_path):
    with pytest.raises(ConfigurationError, match="not a FLARE job"):
        load_site_job(str(tmp_path))
