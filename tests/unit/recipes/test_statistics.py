import json

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job

JOB = "brain_tumor_stats"


def client_of(folder, changes=None):
    job = export_job(build_recipe(JOB, changes), folder)
    return json.loads((job / "app/config/config_fed_client.json").read_text())


def arguments(client):
    return {one["id"]: one["args"] for one in client["components"] if "args" in one}


def test_results_pass_flares_cleansers_and_the_handshake_does_not(tmp_path):
    (chain,) = client_of(tmp_path)["task_result_filters"]
    assert chain["tasks"] == ["fed_stats"]
    assert chain["filters"][0]["args"] == {"result_cleanser_ids": ["min_count_cleanser"]}


def test_the_minimum_goes_to_the_cleanser_and_to_the_generator(tmp_path):
    found = arguments(client_of(tmp_path, {"min_count": 7}))
    assert found["min_count_cleanser"]["min_count"] == 7
    assert found["generator"]["min_count"] == 7


def test_a_job_can_limit_bins_by_patients(tmp_path):
    client = client_of(tmp_path, {"max_bins_percent": 10})
    assert arguments(client)["bins_cleanser"] == {"max_bins_percent": 10}
    filters = client["task_result_filters"][0]["filters"]
    assert filters[0]["args"]["result_cleanser_ids"] == ["min_count_cleanser", "bins_cleanser"]


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"min_count": 0}, "min_count"),
        ({"max_bins_percent": 101}, "max_bins_percent"),
        ({"task": "knees"}, "knees"),
        ({"min_cout": 4}, "did you mean 'min_count'?"),
        ({"rounds": 4}, "rounds"),
    ],
)
def test_settings_that_can_t_be_used_are_rejected(change, reported):
    with pytest.raises(ConfigurationError, match=reported.replace("?", r"\?")):
        build_recipe(JOB, change)
