"""Tasks of other packages: found by name, imported only when asked for, and no burden to the others."""

import sys
import threading

import pytest

from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError
from consilium.tasks import get_task, task_names
from consilium.tasks.registry import is_built_in, only_listed_tasks
from tasks.packages import LIKE_BRAIN_TUMOR, installed, is_imported, toy

LIKE = LIKE_BRAIN_TUMOR.format


def refusal(name):
    with pytest.raises(ConfigurationError) as caught:
        get_task(name)
    return str(caught.value)


def test_the_default_task_comes_with_consilium():
    assert is_built_in(DEFAULT)
    assert get_task(DEFAULT).name == DEFAULT
    assert task_names()[0] == DEFAULT


def test_a_task_of_another_package_is_imported_when_it_is_asked_for_and_not_before(tmp_path):
    with installed(tmp_path, toy()):
        assert task_names() == (DEFAULT, "toy_tumor")
        get_task(DEFAULT)
        assert not is_imported()
        task = get_task("toy_tumor")
        assert task.name == "toy_tumor"
        assert get_task("toy_tumor") is task
    assert "toy_tumor" not in task_names()


def test_an_unknown_task_is_rejected_with_those_that_are_known(tmp_path):
    with installed(tmp_path, toy()):
        assert "known: brain_tumor, toy_tumor" in refusal("chest_ct")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no CUDA')", "RuntimeError: no CUDA"),
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("Other = 1", "AttributeError"),
        ("Toy = 3", "AttributeError"),
        (LIKE(name="another"), "calls itself 'another'"),
    ],
)
def test_a_broken_task_says_what_is_wrong_and_hinders_no_other(tmp_path, source, said):
    broken = ("broken-package", "broken", source)
    with installed(tmp_path, toy(), broken):
        message = refusal("broken")
        assert said in message
        assert "broken-package" in message
        assert get_task("toy_tumor").name == "toy_tumor"
        assert get_task(DEFAULT).name == DEFAULT
        assert "broken" in task_names()


@pytest.mark.parametrize("name", ["toy_tumor", DEFAULT])
def test_a_name_that_two_packages_bring_or_that_is_ours_is_rejected(tmp_path, name):
    first, second = ("first-package", name, LIKE(name=name)), ("other-package", name, LIKE(name=name))
    with installed(tmp_path, *((first, second) if name != DEFAULT else (second,))):
        message = refusal(name)
        assert "other-package" in message
        assert "more than once" in message
        assert "other_package" not in sys.modules


def test_a_name_that_one_package_brings_twice_is_rejected(tmp_path):
    with installed(tmp_path, toy()):
        places = tmp_path / "toy_package-1.0.dist-info/entry_points.txt"
        places.write_text(places.read_text() + "toy_tumor = toy_package:Other\n")
        assert "more than once, by toy-package, toy-package" in refusal("toy_tumor")
        assert not is_imported()


def test_within_a_policy_nobody_learns_what_else_is_installed(tmp_path):
    with installed(tmp_path, toy(), ("other-package", "other", LIKE(name="other"))):
        with only_listed_tasks({"other"}):
            said = refusal("chest_ct")
        assert "known: brain_tumor, other;" in said


@pytest.mark.parametrize("source", ["open('/data/pacs/Doe-Jane')", "raise SystemExit('/data/pacs/Doe-Jane')"])
def test_within_a_policy_an_exception_s_words_stay_in_the_log(tmp_path, source, caplog):
    with installed(tmp_path, ("broken-package", "broken", source)), only_listed_tasks({"broken"}):
        said = refusal("broken")
    assert "the log of this site says why" in said
    assert "/data" not in said
    assert "/data/pacs/Doe-Jane" in caplog.text


def test_within_a_policy_only_what_it_lists_is_imported(tmp_path):
    with installed(tmp_path, toy()):
        with only_listed_tasks(()):
            assert "policy does not list it" in refusal("toy_tumor")
            assert get_task(DEFAULT).name == DEFAULT
        assert not is_imported()
        with only_listed_tasks({"toy_tumor"}):
            get_task("toy_tumor")
        with only_listed_tasks(()):
            assert "policy does not list it" in refusal("toy_tumor")  # loaded or not


def test_a_policy_holds_for_its_own_thread(tmp_path):
    found = []
    with installed(tmp_path, toy()), only_listed_tasks(()):
        thread = threading.Thread(target=lambda: found.append(get_task("toy_tumor").name))
        thread.start()
        thread.join()
        refusal("toy_tumor")
    assert found == ["toy_tumor"]
