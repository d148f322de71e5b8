"""What a hospital decides, task by task."""

from pathlib import Path

import pytest
from tasks.packages import brought, installed, is_imported, toy

from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.participant.site_settings import SiteSettings
from consilium.records.remedies import remedy_for

BRAIN, CHEST = Path("/data/brats"), Path("/data/chest")


def site(**values):
    return SiteSettings.parse({"dataset": str(BRAIN), **values}, source="a test")


def test_a_task_that_comes_with_consilium_needs_no_entry():
    settings = site(patients_file="p.csv", label_convention="brats-2018")
    assert settings.for_task("brain_tumor") == settings


def test_a_task_of_another_package_is_declined_unless_it_is_listed(tmp_path):
    with installed(tmp_path, toy()):
        with pytest.raises(SiteRefusal, match="'toy_tumor' is of another package") as caught:
            site().for_task("toy_tumor")
        assert caught.value.code is RefusalCode.TASK
        assert "lists it under `tasks`" in remedy_for(caught.value.code)
        assert site(tasks={"toy_tumor": {}}).for_task("toy_tumor").dataset == BRAIN
        assert not is_imported()


def test_an_entry_without_a_dataset_changes_what_it_states_alone():
    settings = site(patients_file="p.csv", tasks={"brain_tumor": {"label_convention": "brats-2023"}})
    own = settings.for_task("brain_tumor")
    assert own.label_convention == "brats-2023"
    assert (own.patients_file, own.state_dir) == (Path("p.csv"), settings.state_dir)


def test_a_dataset_of_its_own_takes_nothing_of_what_describes_another():
    settings = site(
        patients_file="p.csv",
        label_convention="brats-2018",
        file_endings={"t1ce": ["T1_KM"]},
        accepted_findings="a.csv",
        min_count=8,
        tasks={"chest_ct": {"dataset": str(CHEST), "file_endings": {"ct": ["lung"]}}},
    )
    own = settings.for_task("chest_ct")
    assert own.dataset == CHEST
    assert (own.patients_file, own.label_convention, own.accepted_findings) == (None, None, None)
    assert own.file_endings == {"ct": ("lung",)}
    assert (own.min_count, own.cache_dir) == (8, settings.cache_dir)


def test_two_datasets_have_two_registers_of_patients():
    settings = site(tasks={"chest_ct": {"dataset": str(CHEST)}, "toy_tumor": {}})
    folders = [settings.for_task(task).state_dir for task in ("brain_tumor", "toy_tumor", "chest_ct")]
    assert folders[0] == folders[1]
    assert folders[2] == folders[0] / "tasks/chest_ct"


def test_two_tasks_can_t_have_one_dataset_of_their_own_and_two_registers():
    own = {"dataset": str(CHEST)}
    with pytest.raises(ConfigurationError, match="tasks chest_ct and nodule have one dataset"):
        site(tasks={"chest_ct": own, "nodule": own})
    assert site(tasks={"a": {"dataset": str(BRAIN)}, "b": {"dataset": str(BRAIN)}})  # that of the site


def test_relative_paths_of_a_task_start_at_the_workspace():
    settings = site(tasks={"chest_ct": {"dataset": "chest", "patients_file": "p.csv"}})
    own = settings.in_workspace(Path("/kit")).for_task("chest_ct")
    assert (own.dataset, own.patients_file) == (Path("/kit/chest"), Path("/kit/p.csv"))
    assert own.state_dir == Path("/kit/site_state/tasks/chest_ct")


@pytest.mark.parametrize("name", ["../up", "Chest", "a/b", ""])
def test_a_name_that_no_task_can_have_is_rejected(name):
    with pytest.raises(ConfigurationError):
        site(tasks={name: {}})


def test_settings_for_a_task_are_those_for_it_again():
    settings = site(tasks={"chest_ct": {"dataset": str(CHEST)}})
    own = settings.for_task("chest_ct")
    assert own.for_task("chest_ct") == own


@pytest.mark.parametrize(
    ("values", "reported"),
    [
        (
            {"file_endings": {"t1_ce": ["KM"]}},
            "file_endings names 't1_ce'; known: t1, t1ce, t2, flair, label",
        ),
        (
            {"tasks": {"chest_ct": {"file_endings": {"cta": ["lung"]}}}},
            r"tasks\.chest_ct\.file_endings names 'cta'; known: ct, label",
        ),
        ({"tasks": {"fundus": {"file_endings": {"left": ["os"]}}}}, r"tasks\.fundus\.photographs have fixed"),
    ],
)
def test_an_ending_for_an_input_that_there_is_not_is_rejected_as_the_settings_are_read(values, reported):
    with brought("chest_ct"), brought("fundus"), pytest.raises(ConfigurationError, match=reported):
        site(**values)


def test_endings_may_be_for_the_inputs_of_any_listed_task():
    with brought("chest_ct"):
        assert site(tasks={"chest_ct": {}}, file_endings={"ct": ["lung"]}).file_endings == {"ct": ("lung",)}
        with pytest.raises(ConfigurationError, match="file_endings names 'ct'"):
            site(file_endings={"ct": ["lung"]})


def test_a_minimum_for_updates_above_that_of_everything_is_an_error(tmp_path):
    values = {"dataset": str(tmp_path), "min_training_patients": 4}
    assert SiteSettings.parse({**values, "min_update_patients": 4}, source="a test").update_minimum == 4
    with pytest.raises(ConfigurationError, match=r"min_update_patients is 5, .* \(4\).* raise min_training"):
        SiteSettings.parse({**values, "min_update_patients": 5}, source="a test")


@pytest.mark.parametrize("name", ["T3", "t3", "../x"])
def test_an_image_that_the_task_doesn_t_have_is_answered_with_those_that_it_has(tmp_path, name):
    with pytest.raises(ConfigurationError, match="known: t1, t1ce, t2, flair"):
        SiteSettings.parse({"dataset": str(tmp_path), "missing_inputs": [name]}, source="a test")
