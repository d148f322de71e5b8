import json
from pathlib import Path

import pytest
from nvflare.apis.fl_constant import FLContextKey

from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import read_site_settings
from federation.flare import Engine


@pytest.fixture
def engine(tmp_path):
    return Engine(tmp_path / "north")


def in_context(engine, properties):
    engine.context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)


def in_file(engine, scopes, default="hospital"):
    policy = {"scopes": scopes, "default_scope": default}
    (engine.local / "privacy.json").write_text(json.dumps(policy))


def scope(name, dataset):
    return {"name": name, "properties": {"consilium": {"dataset": dataset}}}


def refusal(engine):
    with pytest.raises(ConfigurationError) as caught:
        read_site_settings(engine.context, "brain_tumor")
    return str(caught.value)


def test_a_provisioned_site_hands_its_scope_over_in_the_context(engine):
    in_file(engine, [scope("hospital", "/from/the/file")])
    in_context(engine, {"consilium": {"dataset": "/data/brats", "role": "evaluates", "cpu_threads": 3}})
    settings = read_site_settings(engine.context, "brain_tumor")
    assert settings.dataset == Path("/data/brats")
    assert settings.role == "evaluates"
    assert settings.cpu_threads == 3


def test_the_simulator_s_site_reads_the_default_scope_of_the_same_file(engine):
    in_file(engine, [scope("other", "/elsewhere"), scope("hospital", "/data/brats")])
    assert read_site_settings(engine.context, "brain_tumor").dataset == Path("/data/brats")


def test_a_job_of_a_named_scope_gets_that_scope(engine):
    in_file(engine, [scope("other", "/elsewhere"), scope("hospital", "/data/brats")])
    engine.context.set_prop(FLContextKey.JOB_SCOPE_NAME, "other", private=True, sticky=False)
    assert read_site_settings(engine.context, "brain_tumor").dataset == Path("/elsewhere")


def test_relative_folders_start_at_the_workspace(engine, tmp_path):
    in_context(engine, {"consilium": {"dataset": "../cases"}})
    settings = read_site_settings(engine.context, "brain_tumor")
    assert settings.dataset == tmp_path / "north" / "../cases"
    assert settings.patients_file is None
    in_context(engine, {"consilium": {"dataset": "../cases", "patients_file": "local/patients.csv"}})
    settings = read_site_settings(engine.context, "brain_tumor")
    assert settings.patients_file == tmp_path / "north" / "local/patients.csv"
    assert settings.cache_dir == tmp_path / "north" / "cache"


def test_an_unknown_scope_is_named(engine):
    in_file(engine, [scope("other", "/elsewhere")])
    assert "has no privacy scope 'hospital'" in refusal(engine)
    engine.context.set_prop(FLContextKey.JOB_SCOPE_NAME, "study-7", private=True, sticky=False)
    assert "'study-7'" in refusal(engine)


@pytest.mark.parametrize("properties", [{}, {"other": 1}, [], "text"])
def test_a_scope_without_our_property_says_what_to_add(engine, properties):
    in_context(engine, properties)
    message = refusal(engine)
    assert "privacy.json" in message
    assert '"consilium": {"dataset": "/folder/with/cases"}' in message


def test_a_scope_without_properties_says_so_too(engine):
    in_file(engine, [{"name": "hospital"}])
    assert "no property 'consilium'" in refusal(engine)


def test_a_missing_or_broken_file_is_named(engine):
    path = engine.local / "privacy.json"
    assert f"{path} is missing" in refusal(engine)
    path.write_text('{"scopes": [}')
    assert f"{path} is not valid JSON" in refusal(engine)


def test_an_unknown_setting_names_the_nearest_and_nothing_is_guessed(engine):
    in_context(engine, {"consilium": {"dataset": "/data", "cache_gb": 5}})
    message = refusal(engine)
    assert "did you mean 'cache_gib'?" in message
    assert "privacy.json" in message


def test_a_site_without_a_dataset_is_rejected_with_the_reason(engine):
    in_context(engine, {"consilium": {"role": "evaluates"}})
    assert "dataset: it is missing" in refusal(engine)
