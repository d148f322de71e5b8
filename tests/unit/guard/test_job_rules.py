"""What a job may consist of: exactly what a recipe writes."""

import json

import pytest
from effort import examples
from federation.job_files import JOBS, files_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recipes.any_settings import any_recipe, largest_recipes

from consilium.errors import ConfigurationError
from consilium.guard.job_meta import check_deployed_meta
from consilium.guard.job_rules import SIGNATURES, check_app, check_job
from consilium.recipes.base import JobFiles
from consilium.recipes.catalog import build_recipe
from consilium.recipes.recognition import recognize_recipe

from .mutations import importable_classes, mutated

JOB_ID = "9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00"
META, SERVER, CLIENT = "meta.json", "app/config/config_fed_server.json", "app/config/config_fed_client.json"
QUICK = settings(
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def nothing_forbidden(class_path):
    return None


def texts(recipe):
    """The job's files, as bytes."""
    files = recipe.files()
    contents = {META: files.meta, SERVER: files.server, CLIENT: files.client}
    return {name: json.dumps(content).encode() for name, content in contents.items()}


def fault(files, forbidden=nothing_forbidden):
    """Why a job is refused; None if it is not."""
    try:
        check_job(files, forbidden)
    except ConfigurationError as error:
        return str(error)
    return None


def app_of(files):
    return {name.removeprefix("app/"): content for name, content in files.items() if name != META}


def app_fault(files, side="client", meta=None, forbidden=nothing_forbidden):
    try:
        check_app(files, forbidden, side, meta)
    except ConfigurationError as error:
        return str(error)
    return None


def deployed(meta, **more):
    who = {"submitter_name": "s@c.example", "submitter_org": "c", "submitter_role": "lead", "job_id": JOB_ID}
    return check_deployed_meta({**meta, **who, **more})


def args_of(client):
    return client["executors"][0]["executor"]["args"]


TRAINING = texts(build_recipe("brain_tumor_fedavg"))


def changed(name, edit):
    content = json.loads(TRAINING[name])
    edit(content)
    return {**TRAINING, name: json.dumps(content).encode()}


@pytest.mark.quick_cases(7)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
@pytest.mark.parametrize("signed", [False, True])
def test_every_job_of_the_catalog_is_in_order(job, signed):
    files = {name: path.read_bytes() for name, path in files_of(job).items()}
    files |= {"app/": b"", "app/config/": b""}
    if signed:
        files |= {f"{folder}{name}": b"" for folder in ("", "app/", "app/config/") for name in SIGNATURES}
    assert fault(files) is None
    app = {
        name.removeprefix("app/"): content for name, content in files.items() if name.startswith("app/config")
    }
    meta = deployed(json.loads(files[META]))
    for side in ("server", "client"):
        assert app_fault(app, side) is None
        assert app_fault(app, side, meta) is None


@QUICK
@given(any_recipe)
def test_every_job_of_any_settings_is_in_order(recipe):
    assert fault(texts(recipe)) is None


@pytest.mark.hypothesis
@pytest.mark.parametrize("recipe", largest_recipes(), ids=lambda recipe: recipe.kind)
@pytest.mark.parametrize("name", [META, SERVER, CLIENT])
def test_a_job_with_any_single_change_is_rejected_or_another_job_of_the_recipe(recipe, name):
    files = texts(recipe)

    @QUICK
    @given(mutated(json.loads(files[name])))
    def attempt(content):
        attacked = {**files, name: json.dumps(content).encode()}
        if fault(attacked) is not None:
            return
        # What was let in is what a recipe writes: there is nothing else in it.
        parts = JobFiles(*(json.loads(attacked[one]) for one in (META, SERVER, CLIENT)))
        written = recognize_recipe(parts).files()
        assert json.dumps(parts.server, sort_keys=True) == json.dumps(written.server, sort_keys=True)
        assert json.dumps(parts.client, sort_keys=True) == json.dumps(written.client, sort_keys=True)
        assert set(parts.meta) - set(written.meta) <= {"scope", "study"}

    attempt()


@pytest.mark.parametrize("name", [SERVER, CLIENT])
@QUICK
@given(data=st.data())
def test_no_class_can_take_the_place_of_a_job_s_or_stand_beside_it(name, data):
    """Any class of ours or FLARE's, under any path by which a module has it."""
    path = data.draw(importable_classes)
    beside = data.draw(st.booleans())

    def edit(config):
        if beside:
            config["components"].append({"id": "stranger", "path": path, "args": {}})
        else:
            config["components"][0]["path"] = path

    own = json.loads(TRAINING[name])["components"][0]["path"]
    assert (fault(changed(name, edit)) is None) == (path == own and not beside)


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        (CLIENT, lambda c: c["components"].append({"id": "x", "path": "os.system"}), "os.system"),
        (CLIENT, lambda c: c["components"].append({"id": "s", "args": {"folder": "victim"}, "path":
            "consilium.federation.updates.spool.UpdateSpool"}), "UpdateSpool"),
        (CLIENT, lambda c: c["components"].append({"id": "s", "args": {"file": "x", "mode": "w"}, "path":
            "consilium.guard.server_guard.ZipFile"}), "ZipFile"),
        (CLIENT, lambda c: c["executors"][0]["executor"].update(path="a.b.C"), "executor.path"),
        (CLIENT, lambda c: c["executors"].append(c["executors"][0]), r"executors[1]"),
        (CLIENT, lambda c: c["executors"][0].update(tasks=["*"]), "tasks[0]"),
        (CLIENT, lambda c: c["task_result_filters"].append({"tasks": ["train"]}), "filters[0]"),
        (CLIENT, lambda c: c.update(default_task_fetch_interval=0.1), "default_task_fetch_interval"),
        (CLIENT, lambda c: c.update({"@x": {}}), "@x"),
        (CLIENT, lambda c: args_of(c)["learning"].update(seed=1), "learning.seed is 0"),
        (CLIENT, lambda c: args_of(c)["learning"].update(deep=1), "learning.deep"),
        (CLIENT, lambda c: args_of(c)["learning"].update(network="{$HOME}"), "learning.network"),
        (CLIENT, lambda c: args_of(c)["learning"].update(network=" /etc/passwd"), "learning.network"),
        (CLIENT, lambda c: args_of(c).update(output="."), "args.output"),
        (SERVER, lambda c: c["workflows"][0].update(path="a.b.C"), "allowed: consilium.federation.rounds."),
        (SERVER, lambda c: c.update(workflows=[]), "workflows[0].path is missing"),
        (SERVER, lambda c: c["workflows"][0]["args"].update(rounds=10**9), "10000 or less"),
        (SERVER, lambda c: c["workflows"][0]["args"].update(persistor_id="x"), "persistor_id"),
        (SERVER, lambda c: c["server"].update(heart_beat_timeout=1), "heart_beat_timeout"),
        (META, lambda c: c.update(job_id="local"), "only the server gives a job its id"),
        (META, lambda c: c.update(job_id=JOB_ID), "only the server gives a job its id"),
        (META, lambda c: c.update(byoc=True), "byoc: no such setting"),
        (META, lambda c: c.update(launcher_spec={"default": {"docker": {"image": "x"}}}), "launcher_spec"),
        (META, lambda c: c.update(min_clients=1), "min_clients is 1"),
        (META, lambda c: c.update(min_clients=True), "min_clients"),
        (META, lambda c: c.update(name="../x"), "name"),
        (META, lambda c: c.update(resume="local"), "no job id"),
        (META, lambda c: c.update(scope="../x"), "scope"),
        (META, lambda c: c["deploy_map"].update(other=["@ALL"]), "deploy_map"),
        (META, lambda c: c.update(deploy_map={"app": ["server", {"sites": ["north"]}]}), "deploy_map"),
        (META, lambda c: c.update(deploy_map={"app": ["north"]}), "deploy_map"),
        (META, lambda c: c.update(resource_spec={"@default": {"docker": {"image": "x"}}}), "resource_spec"),
        (META, lambda c: c.update(resource_spec={"north": {"num_of_gpus": 1}}), "resource_spec.north"),
    ],
)  # fmt: skip
def test_a_job_that_is_more_or_other_is_rejected_with_the_place(name, edit, said):
    assert said in fault(changed(name, edit))


@pytest.mark.parametrize("edit", [
    lambda meta: meta.update(scope="research"), lambda meta: meta.update(study="brain_tumor"),
    lambda meta: meta.update(resume=JOB_ID),
    lambda meta: meta.update(deploy_map={"app": ["server", "north", "south"]}),
])  # fmt: skip
def test_what_a_submitter_decides_in_meta_json_is_taken(edit):
    assert fault(changed(META, edit)) is None


def test_what_nvflare_job_submit_makes_of_default_resources_is_taken():
    files = texts(build_recipe("brain_tumor_fedavg_gpu"))
    meta = json.loads(files[META])
    meta["resource_spec"] = {"default": meta["resource_spec"]["@default"]}
    assert fault({**files, META: json.dumps(meta).encode()}) is None


@pytest.mark.parametrize(
    "name",
    ["app/config/config_fed_client.conf", "app/config/config_fed_client.yml", "app/config/log_config.json",
     "app/resources.json", "app/config/x/config_fed_client.json", "meta.conf", "other/config/", "app/local/",
     "../config/config_fed_client.json", "sitecustomize.py", "app/.__nvfl_sig.json.bak"],
)  # fmt: skip
def test_any_other_file_or_folder_is_rejected(name):
    assert f"it holds {name!r}; allowed are meta.json" in fault({**TRAINING, name: b"{}"})


@pytest.mark.parametrize("name", [META, SERVER, CLIENT])
def test_a_file_that_is_missing_is_named(name):
    assert f"it has no {name}" in fault({key: value for key, value in TRAINING.items() if key != name})


@pytest.mark.parametrize("name", ["app/custom/x.py", "app/config/custom/x.py", "custom/x.py", "app/custom/"])
def test_code_is_rejected_wherever_it_lies_in_a_job(name):
    assert "contains code" in fault({**TRAINING, name: b""})


def test_a_site_s_own_list_decides_about_the_classes_that_it_builds():
    def forbid(class_path):
        return "forbidden here" if class_path.endswith("WeightsPersistor") else None

    assert "forbidden here" in fault(TRAINING, forbid)
    assert "forbidden here" in app_fault(app_of(TRAINING), "server", forbidden=forbid)
    assert app_fault(app_of(TRAINING), "client", forbidden=forbid) is None


def test_a_server_that_describes_another_job_than_it_sends_is_rejected():
    meta = json.loads(TRAINING[META])
    assert "min_clients is 3" in app_fault(app_of(TRAINING), meta=deployed({**meta, "min_clients": 3}))
    spec = {"@default": {"num_of_gpus": 65}}
    assert "gpus_per_site" in app_fault(app_of(TRAINING), meta=deployed({**meta, "resource_spec": spec}))
    clone = deployed(meta, cloned_from=JOB_ID, resume=JOB_ID, status="SUBMITTED", submit_time=1.0)
    assert app_fault(app_of(TRAINING), meta=clone) is None


@pytest.mark.parametrize("name", [META, SERVER, CLIENT])
@pytest.mark.parametrize("content", [b"0", b"{}", b"[]", b"null", b'""', b'{"executors": []}'])
def test_a_file_without_any_setting_is_named(name, content):
    assert name in fault({**TRAINING, name: content})


@QUICK
@given(st.binary(max_size=200), st.sampled_from([META, SERVER, CLIENT]))
def test_whatever_bytes_come_instead_of_a_file_are_rejected_with_a_reason(content, name):
    assert name in fault({**TRAINING, name: content})


@pytest.mark.quick_cases(29)
@pytest.mark.parametrize(
    "more",
    [
        {"launcher_spec": {"north": {"k8s": {"image": "evil.example/x:1"}}}},
        {"launcher_spec": {"default": {"slurm": {"sbatch_options": ["--wrap=evil"]}}}},
        {"resource_spec": {"north": {"k8s": {"image": "evil.example/x:1"}}}},
        {"resource_spec": {"north": {"slurm": {"partition": "x --wrap=evil"}}}},
        {"resource_spec": {"north": {"docker": {"image": "evil.example/x:1"}}}},
        {"resource_spec": {"@default": {"num_of_gpus": "1; evil"}}},
        {"resource_spec": {"@default": {"num_of_gpus": 1, "memory": "1Gi"}}},
        {"resource_spec": {"default": {"num_of_gpus": 1, "slurm": {}}}},
        {"study": "x; evil"}, {"study": "../x"}, {"study": "--wrap=evil"},
        {"study": "x\n#SBATCH --wrap=evil"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_no_job_says_how_a_cluster_runs_it(job, more):
    """Image, options of sbatch, fields of the pod: FLARE's launchers take all of them from a job."""
    files = {name: path.read_bytes() for name, path in files_of(job).items()}
    assert fault(files) is None
    assert fault({**files, META: json.dumps(json.loads(files[META]) | more).encode()})
