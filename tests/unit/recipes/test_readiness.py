import json

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job

JOB = "brain_tumor_check"


def configurations(folder, changes=None):
    config = export_job(build_recipe(JOB, changes), folder) / "app/config"
    return [json.loads((config / f"config_fed_{side}.json").read_text()) for side in ("server", "client")]


def test_every_site_is_asked_once_by_the_executor_of_the_training_jobs(tmp_path):
    server, client = configurations(tmp_path)
    assert [one["path"] for one in server["workflows"]] == [
        "consilium.federation.inquiry.readiness.ReadinessCheck"
    ]
    (entry,) = client["executors"]
    assert entry["tasks"] == ["check"]
    assert entry["executor"]["path"] == "consilium.federation.site.executor.SiteExecutor"


def test_settings_reach_the_server_and_the_sites(tmp_path):
    changes = {"timeout_minutes": 5, "learning.spacing_mm": 1.0}
    server, client = configurations(tmp_path, changes)
    assert server["workflows"][0]["args"]["timeout_minutes"] == 5
    assert client["executors"][0]["executor"]["args"]["learning"]["spacing_mm"] == 1.0
    assert "unet_small, 1 mm" in build_recipe(JOB, changes).summary


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"timeout_minutes": 0}, "timeout_minutes"),
        ({"timeout_minute": 4}, "did you mean 'timeout_minutes'?"),
        ({"learning.sed": 4}, "did you mean 'seed'?"),
        ({"rounds": 4}, "rounds"),
    ],
)
def test_settings_that_can_t_be_used_are_rejected(change, reported):
    with pytest.raises(ConfigurationError, match=reported.replace("?", r"\?")):
        build_recipe(JOB, change)
