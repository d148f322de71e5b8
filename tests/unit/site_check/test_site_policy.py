import json

import pytest
from tasks.packages import installed, is_imported, toy

from consilium.errors import ConfigurationError
from consilium.provisioning.kit import Kit
from consilium.provisioning.policy import allowed_classes, guard
from consilium.recipes.exported_job import export_job
from consilium.recipes.fedavg import FedAvgRecipe
from consilium.site_check.finding import Status
from consilium.site_check.job import load_site_job
from consilium.site_check.site_policy import check_resources, check_scope, check_tasks

from .federation import SERVER, read, write

WIDER = sorted(set(allowed_classes("server")) - set(allowed_classes("client")))[:1]
"""What only the server builds."""


@pytest.fixture
def resources(root, job):
    """Write some of `local/resources.json` and check it; returns the findings by id."""

    def check(**changes):
        path = root / "local" / "resources.json"
        write(
            path,
            {key: value for key, value in (read(path) | changes).items() if value is not ...},
        )
        return {finding.id: finding for finding in check_resources(Kit(root), job)}

    return check


def test_the_policy_as_provisioned_is_well(resources, kit, job):
    assert {finding.status for finding in resources().values()} == {Status.OK}
    finding, settings = check_scope(kit, job)
    assert finding.status is Status.OK
    assert settings.role == "trains"


@pytest.mark.parametrize(
    "entry",
    ["*", "subprocess.", "nvflare.", "consilium.", "nvflare.app_opt.pt.", "builtins.eval", *WIDER],
)
def test_a_widened_allow_list_is_rejected(resources, refused, entry):
    finding = resources(class_allow_list=[*allowed_classes("client"), entry])["policy.classes"]
    refused(finding, "more than was provisioned", f"delete '{entry}' from class_allow_list")
    assert finding.data["wider"] == [entry]


def test_a_list_that_only_warns_is_rejected(resources, refused):
    finding = resources(class_list_enforcement_mode="warn")["policy.classes"]
    refused(finding, "other classes are let through", '"class_list_enforcement_mode": "enforce"')


@pytest.mark.parametrize("listed", [..., "consilium.", [1]])
def test_an_allow_list_that_is_none_is_rejected(resources, refused, listed):
    refused(
        resources(class_allow_list=listed)["policy.classes"],
        "no job of consilium",
        allowed_classes("client")[0],
    )


def test_a_tighter_list_is_fine_as_long_as_the_job_may_run(resources, refused, job):
    assert resources(class_allow_list=list(job.classes))["policy.classes"].status is Status.OK
    finding = resources(class_allow_list=[job.classes[-1]])["policy.classes"]
    refused(finding, "consilium.federation.site.executor.SiteExecutor", "add these", Status.WARNING)


@pytest.mark.parametrize(
    "validator", [..., None, {"path": "consilium.guard.flare_app_validator.FlareAppValidator"}]
)
def test_a_site_that_does_not_look_at_jobs_is_rejected(resources, refused, validator):
    refused(
        resources(app_validator=validator)["policy.jobs"], "more than a recipe writes", '"side": "client"'
    )


@pytest.mark.parametrize(
    "components", [..., None, [], [{"id": "guard", "path": "a.B", "args": {}}], {"guard": 1}]
)
def test_a_site_that_deploys_before_it_looks_is_rejected(resources, refused, components):
    refused(resources(components=components)["policy.jobs"], "no component 'guard'", "site_guard.SiteGuard")


def test_a_guard_behind_what_starts_jobs_is_rejected(resources, refused):
    launcher = {"id": "process_launcher", "path": "nvflare.x.ClientProcessJobLauncher", "args": {}}
    behind = [launcher, guard("client")]
    refused(resources(components=behind)["policy.jobs"], "behind the one that starts jobs", "to the front")
    assert resources(components=behind[::-1])["policy.jobs"].status is Status.OK


@pytest.mark.parametrize("allowed", [..., True, "false", None])
def test_streaming_of_logs_is_rejected_unless_it_is_off(resources, refused, allowed):
    finding = resources(allow_log_streaming=allowed)["policy.log_streaming"]
    refused(finding, "name patients", '"allow_log_streaming": false')


def test_broken_resources_are_named(root, job, refused):
    (root / "local" / "resources.json").write_text("{")
    classes, jobs, logs = check_resources(Kit(root), job)
    refused(classes, "local/resources.json is not valid JSON", "ask the project admin")
    assert (jobs.status, logs.status) == (Status.SKIPPED, Status.SKIPPED)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (None, "has no settings of its data"),
        ("{", "not valid JSON"),
        ({"scopes": []}, "no privacy scope"),
        ({"scopes": 3}, "not a list"),
        ({"scopes": [{"name": "a"}], "default_scope": "a"}, "no property 'consilium'"),
        (
            {
                "scopes": [{"name": "a", "properties": {"consilium": {"dataset": "/x", "rol": 1}}}],
                "default_scope": "a",
            },
            "did you mean 'role'?",
        ),
    ],
)
def test_a_scope_that_does_not_say_where_the_data_lies_is_rejected(root, job, refused, policy, said):
    path = root / "local" / "privacy.json"
    path.unlink() if policy is None else path.write_text(
        policy if isinstance(policy, str) else json.dumps(policy)
    )
    finding, settings = check_scope(Kit(root), job)
    refused(finding, "local/privacy.json can't be used", '"dataset": "/folder/with/cases"')
    assert settings is None
    assert said in finding.details[0]
    assert str(root) not in finding.seen + finding.remedy


def test_a_hospital_whose_split_others_could_know_is_rejected(root, job, refused):
    path = root / "local" / "privacy.json"
    policy = json.loads(path.read_text())
    policy["scopes"][0]["properties"]["consilium"]["split_salt"] = "7"
    path.write_text(json.dumps(policy))
    finding, settings = check_scope(Kit(root), job)
    refused(finding, "has a split_salt", "remove split_salt")
    assert settings is not None  # whatever else there is to say is said as well


def test_the_server_has_no_scope(kits, job):
    assert check_scope(Kit(kits / SERVER), job)[0].status is Status.SKIPPED


def scopes(root, **other):
    """Write a second scope beside the kit's."""
    path = root / "local/privacy.json"
    policy = read(path)
    first = policy["scopes"][0]
    loose = {"name": "loose", "properties": {"consilium": {**first["properties"]["consilium"], **other}}}
    write(path, {**policy, "scopes": [first, loose]})


@pytest.mark.parametrize(
    "other",
    [
        {"min_count": 1},
        {"min_training_patients": 1},
        {"min_update_patients": 1},
        {"state_dir": "elsewhere"},
    ],
)
def test_a_second_scope_that_asks_for_less_is_named(root, kit, job, refused, other):
    scopes(root, **other)
    finding, settings = check_scope(kit, job)
    refused(finding, "choose the scope loose", "give all scopes the same", Status.WARNING)
    assert settings.min_count == 5


@pytest.mark.parametrize("noise", [None, {"clip": 1.0, "noise_multiplier": 1.0}])
def test_a_second_scope_that_hides_the_hospital_less_is_named(root, kit, job, refused, noise):
    path = root / "local/privacy.json"
    policy = read(path)
    own = policy["scopes"][0]["properties"]["consilium"]
    own["hospital_noise"] = {"clip": 1.0, "noise_multiplier": 2.0}
    write(path, policy)
    scopes(root, hospital_noise=noise)
    refused(check_scope(kit, job)[0], "choose the scope loose", "give all scopes the same", Status.WARNING)


def test_a_second_scope_that_asks_for_as_much_is_well(root, kit, job):
    scopes(root, min_count=7)
    assert check_scope(kit, job)[0].status is Status.OK


def test_no_scope_may_have_a_salt(root, kit, job, refused):
    scopes(root, split_salt="a")
    refused(check_scope(kit, job)[0], "has a split_salt", "remove split_salt")


@pytest.fixture
def tasks(kit, job, tmp_path):
    """List tasks in the site's policy; returns what is found about them."""

    def check(**listed):
        path = kit.root / "local" / "privacy.json"
        policy = read(path)
        policy["scopes"][0]["properties"]["consilium"]["tasks"] = listed
        write(path, policy)
        return check_tasks(check_scope(kit, job)[1])

    return check


def test_the_tasks_that_may_run_here_are_shown(tasks, tmp_path):
    (tmp_path / "packages").mkdir()
    with installed(tmp_path / "packages", toy()):
        assert tasks().seen == "of consilium: brain_tumor; of other packages: none"
        finding = tasks(toy_tumor={"dataset": str(tmp_path)}, brain_tumor={})
        assert finding.status is Status.OK
        assert finding.seen.endswith("of other packages: toy_tumor")
        assert not is_imported()


def test_a_listed_task_that_nobody_brings_and_a_lost_folder_are_said(tasks, tmp_path, refused):
    refused(tasks(toy_tumor={}), "no installed package", "tasks in local/privacy.json", Status.WARNING)
    (tmp_path / "packages").mkdir()
    with installed(tmp_path / "packages", toy()):
        lost = tasks(toy_tumor={"dataset": str(tmp_path / "nowhere")})
        refused(lost, "the dataset of toy_tumor is not a folder", "correct its dataset under tasks")
        assert str(tmp_path) not in lost.seen


def test_a_job_of_an_unlisted_task_is_not_even_read(tmp_path):
    (tmp_path / "packages").mkdir()
    with installed(tmp_path / "packages", toy()):
        recipe = FedAvgRecipe.from_values({"name": "toy", "learning": {"task": "toy_tumor"}}, source="a test")
        folder = export_job(recipe, tmp_path / "jobs")
    (tmp_path / "here").mkdir()
    with installed(tmp_path / "here", toy()):
        with pytest.raises(ConfigurationError, match="policy does not list it"):
            load_site_job(str(folder), listed=frozenset())
        assert not is_imported()
        assert load_site_job(str(folder), listed=frozenset({"toy_tumor"})).learning.task == "toy_tumor"
