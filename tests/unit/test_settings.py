import importlib
import pkgutil
import types
import typing
from typing import Annotated

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field

import consilium
from consilium.errors import ConfigurationError
from consilium.learning.processes.messages import _Message
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.recipes.recognition import RECIPES
from consilium.settings import Settings, parse_changes
from consilium.tasks.brain_tumor.synthetic.hospitals import CohortOptions


class Inner(Settings):
    learning_rate: float = 0.1
    batch_size: int = 2


class Outer(Settings):
    rounds: int = 3
    learning: Inner = Inner()


def refusal(values: dict[str, object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Outer.parse(values, source="job 'x'")
    return str(caught.value)


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    assert "rouns: no such setting; did you mean 'rounds'?" in refusal({"rouns": 1})


def test_an_unknown_key_in_a_group_names_the_nearest_of_that_group() -> None:
    message = refusal({"learning": {"learnig_rate": 1}})
    assert "learning.learnig_rate: no such setting; did you mean 'learning_rate'?" in message


def test_a_key_near_to_none_lists_all() -> None:
    assert "known: learning, rounds" in refusal({"zzz": 1})


def test_every_wrong_setting_has_a_line_with_the_value_seen_and_where_it_came_from() -> None:
    message = refusal({"rounds": "many", "learning": {"batch_size": 1.5}})
    first, *lines = message.splitlines()
    assert first == "job 'x': 2 settings can't be used"
    assert len(lines) == 2
    assert any("rounds" in line and "'many'" in line for line in lines)
    assert any("learning.batch_size" in line and "1.5" in line for line in lines)


@pytest.mark.parametrize(
    ("job", "changes", "named"),
    [
        ("brain_tumor_fedavg", {"learning.local_epochs": 1.0}, "exactly one of local_steps and local_epochs"),
        (
            "brain_tumor_fedavg",
            {"learning.patch_voxels": [512, 512, 512], "learning.batch_size": 8},
            "or a smaller patch",
        ),
        ("brain_tumor_fedavg_secagg", {"aggregation.rule": "median"}, "aggregation.rule 'median'"),
    ],
)
def test_settings_that_do_not_go_together_are_named_without_all_the_others(job, changes, named) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build_recipe(job, changes)
    assert named in str(raised.value)
    assert "learning_rate" not in str(raised.value)


def test_settings_can_not_change_after_they_were_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().rounds = 5  # type: ignore[misc]


for module in pkgutil.walk_packages(consilium.__path__, "consilium."):
    importlib.import_module(module.name)  # so that the settings of all of them are known here


def every_kind_of_settings(of: type[Settings] = Settings) -> list[type[Settings]]:
    below = [kind for one in of.__subclasses__() for kind in (one, *every_kind_of_settings(one))]
    of_users = (kind for kind in below if kind.__module__.startswith("consilium."))
    return sorted({*of_users} - {*messages()}, key=lambda one: one.__name__)


def messages() -> list[type[Settings]]:
    """What processes send each other, which no user writes."""
    return [_Message, *_Message.__subclasses__()]


ODD: list[typing.Any] = [
    None, True, "x", "", "x" * 5000, -1, 0, 10**9, 10**400, 1.5, -1e308, float("nan"), float("inf"),
    [], ["x"], [1.5] * 9, {}, {"x": 1}, object(),
]  # fmt: skip
LIBRARY = ("Input should", "String should", "Value error", "pydantic", "should have", "valid dictionary")


@pytest.mark.quick_cases(20)
@pytest.mark.parametrize("kind", every_kind_of_settings(), ids=lambda kind: kind.__name__)
def test_no_words_of_the_library_reach_a_user(kind: type[Settings]) -> None:
    said = []
    for name in kind.model_fields:
        for value in ODD:
            try:
                kind.parse({name: value}, source="x")
            except ConfigurationError as error:
                said += str(error).splitlines()[1:]
    assert said
    assert [line for line in said if any(word in line for word in LIBRARY)] == []
    assert [line for line in said if len(line) > 600] == []


def test_all_settings_of_a_job_and_a_site_are_tried() -> None:
    assert {"FedAvgSettings", "StatisticsSettings", "LearningSettings", "BrainTumorSettings"} <= {
        kind.__name__ for kind in every_kind_of_settings()
    }
    assert SiteSettings in every_kind_of_settings()


def limits(kind: typing.Any, stated: list[object]) -> typing.Iterator[bool]:
    """Whether each number in the type of a field has a limit at both ends."""
    if typing.get_origin(kind) is typing.Annotated:
        of, *further = typing.get_args(kind)
        stated = [*stated, *(one for part in further for one in getattr(part, "metadata", [part]))]
        yield from limits(of, stated)
    elif kind in (int, float):
        yield any(isinstance(one, Ge | Gt) for one in stated) and any(
            isinstance(one, Le | Lt) for one in stated
        )
    else:
        is_choice = typing.get_origin(kind) in (typing.Union, types.UnionType)
        for part in typing.get_args(kind):
            yield from limits(part, stated if is_choice else [])


@pytest.mark.parametrize("kind", every_kind_of_settings(), ids=lambda kind: kind.__name__)
def test_every_number_has_a_limit_at_both_ends(kind: type[Settings]) -> None:
    """99,999 threads end torch without a word."""
    if kind.__name__.startswith("_") or kind is CohortOptions:  # own files; what `CohortSpec` reads next
        return
    without = [
        name for name, one in kind.model_fields.items() if not all(limits(one.annotation, one.metadata))
    ]
    assert without == []


def test_what_is_allowed_is_said() -> None:
    assert "rounds: allowed: a whole number (seen: 'many')" in refusal({"rounds": "many"})


def test_values_are_read_as_what_they_look_like():
    changes = parse_changes(
        ["rounds=3", "learning.learning_rate=2e-4", "learning.local_steps=null", "learning.network=segresnet",
         "learning.patch_voxels=[64, 64, 64]", "name=a=b"]
    )  # fmt: skip
    assert changes == {
        "rounds": 3,
        "learning.learning_rate": "2e-4",  # YAML 1.1 wants 2.0e-4; the settings read the text as a number
        "learning.local_steps": None,
        "learning.network": "segresnet",
        "learning.patch_voxels": [64, 64, 64],
        "name": "a=b",
    }


@pytest.mark.parametrize("text", ["rounds", "=3", "", "rounds=[1", "rounds={a: b: c}"])
def test_what_is_no_assignment_is_rejected_with_an_example(text):
    with pytest.raises(ConfigurationError, match=r"KEY=VALUE, for example seed=3"):
        parse_changes([text])


def patterns_of(node):
    """Every pattern in a model's schema."""
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from patterns_of(one)


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize(
    "model",
    [SiteSettings, *(recipe.settings_type for recipe in RECIPES.values())],
    ids=lambda one: one.__name__,
)
def test_no_message_about_a_job_or_a_hospital_shows_a_pattern(model):
    found = set(patterns_of(model.model_json_schema()))
    assert found
    for pattern in found:

        class OneText(Settings):
            text: Annotated[str, Field(pattern=pattern)]

        with pytest.raises(ConfigurationError, match="text: allowed: ") as error:
            OneText.parse({"text": "\x00"}, source="a test")
        assert pattern not in str(error.value)
