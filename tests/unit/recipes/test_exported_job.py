import json

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import changed_job, export_job, job_kind, read_exported_job

SERVER, CLIENT = "app/config/config_fed_server.json", "app/config/config_fed_client.json"


@pytest.fixture
def job(tmp_path):
    return export_job(build_recipe("brain_tumor_fedavg"), tmp_path)


def refusal(path):
    with pytest.raises(ConfigurationError) as caught:
        read_exported_job(path)
    return str(caught.value)


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_job_says_what_every_site_trains(job):
    settings = build_recipe("brain_tumor_fedavg").settings
    read = read_exported_job(job)
    assert (read.path, read.rounds, read.learning) == (job, settings.rounds, settings.learning)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("brain_tumor_fedavg", "training"),
        ("brain_tumor_check", "readiness"),
        ("brain_tumor_stats", "statistics"),
    ],
)
def test_a_job_tells_its_kind(tmp_path, name, kind):
    assert job_kind(export_job(build_recipe(name), tmp_path)) == kind


@pytest.mark.parametrize("name", ["brain_tumor_check", "brain_tumor_stats"])
def test_a_job_that_only_asks_is_not_read_as_one_that_trains(tmp_path, name):
    assert "trains nothing" in refusal(export_job(build_recipe(name), tmp_path))


def test_a_foreign_job_or_two_in_one_are_of_no_kind(job):
    workflow = {"path": "consilium.federation.inquiry.readiness.ReadinessCheck"}
    change(job / SERVER, lambda config: config["workflows"].append(workflow))
    with pytest.raises(ConfigurationError, match=r"workflows\[1\] is .*ReadinessCheck.* has nothing there"):
        job_kind(job)
    change(job / SERVER, lambda config: config.update(workflows=[]))
    with pytest.raises(
        ConfigurationError, match=r"workflows\[0\].path is missing; allowed: .*FederatedTraining"
    ):
        job_kind(job)
    with pytest.raises(ConfigurationError, match="is not a FLARE job"):
        job_kind(job.parent)


def test_a_folder_that_is_no_job_tells_how_to_get_one(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        message = refusal(folder)
        assert f"{folder} is not a FLARE job" in message
        assert "consilium jobs export NAME" in message


@pytest.mark.parametrize("place", ["custom", "app/custom", "app/config/custom"])
def test_a_job_that_brings_code_is_rejected(job, place):
    (job / place).mkdir()
    message = refusal(job)
    assert "contains its own code" in message
    assert place in message


def test_a_foreign_job_is_rejected(job):
    change(job / SERVER, lambda config: config["workflows"][0].update(path="nvflare.app_common.FedAvg"))
    assert 'workflows[0].path is "nvflare.app_common.FedAvg"' in refusal(job)


def test_a_job_with_a_foreign_executor_is_rejected(job):
    change(job / CLIENT, lambda config: config["executors"][0]["executor"].update(path="evil.Executor"))
    assert 'executor.path is "evil.Executor"' in refusal(job)


@pytest.mark.parametrize("name", [SERVER, CLIENT])
def test_broken_json_names_the_file(job, name):
    (job / name).write_text('{"format_version": 2,')
    message = refusal(job)
    assert str(job / name) in message
    assert "not valid JSON" in message


def test_a_job_that_a_site_would_reject_is_rejected_with_the_place_and_what_to_type(job):
    change(job / SERVER, lambda config: config["components"].append({"id": "x", "path": "subprocess.Popen"}))
    message = refusal(job)
    assert "every site would reject it: app/config/config_fed_server.json: components[5]" in message
    assert "consilium jobs export NAME --set KEY=VALUE" in message


def test_a_missing_configuration_is_named(job):
    (job / CLIENT).unlink()
    assert "config_fed_client.json can't be read (No such file or directory)" in refusal(job)


def test_an_unknown_setting_in_a_job_names_the_nearest(job):
    def misspell(config):
        learning = config["executors"][0]["executor"]["args"]["learning"]
        learning["sedd"] = learning.pop("seed")

    change(job / CLIENT, misspell)
    assert "did you mean 'seed'?" in refusal(job)


@pytest.mark.parametrize("rounds", [None, "many"])
def test_a_job_without_a_number_of_rounds_is_rejected(job, rounds):
    def spoil(config):
        arguments = config["workflows"][0]["args"]
        if rounds is None:
            del arguments["rounds"]
        else:
            arguments["rounds"] = rounds

    change(job / SERVER, spoil)
    assert "rounds" in refusal(job)


def test_a_changed_copy_keeps_whom_the_job_is_for_and_is_what_a_recipe_writes(job):
    change(job / "meta.json", lambda meta: meta.update(scope="research", deploy_map={"app": ["north"]}))
    before = {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}
    with changed_job(job, {"local_only": True}) as copy:
        assert copy.name == job.name
        assert (copy / "meta.json").read_bytes() == (job / "meta.json").read_bytes()
        assert read_exported_job(copy).learning == read_exported_job(job).learning
        tasks = json.loads((copy / CLIENT).read_text())["executors"][0]["tasks"]
        assert "local_only" in tasks
        assert json.loads((copy / SERVER).read_text())["workflows"][0]["args"]["local_only"] is True
    assert not copy.exists()
    assert before == {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}


def test_sites_of_a_job_without_it_can_t_be_asked_to_train_alone(job):
    assert "local_only" not in json.loads((job / CLIENT).read_text())["executors"][0]["tasks"]
    change(job / CLIENT, lambda config: config["executors"][0]["tasks"].append("local_only"))
    assert "has nothing there" in refusal(job)


def test_a_job_that_trains_nothing_can_t_be_changed_to_train_alone(tmp_path):
    check = export_job(build_recipe("brain_tumor_check"), tmp_path)
    with (
        pytest.raises(ConfigurationError, match="local_only: no such setting"),
        changed_job(check, {"local_only": True}),
    ):
        pass
