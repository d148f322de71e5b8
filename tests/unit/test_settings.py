import pytest

from consilium.errors import ConfigurationError
from consilium.settings import Settings


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
    assert first == "job 'x': 2 setting(s) can't be used"
    assert len(lines) == 2
    assert any("rounds" in line and "'many'" in line for line in lines)
    assert any("learning.batch_size" in line and "1.5" in line for line in lines)


def test_settings_can_not_change_after_they_were_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().rounds = 5  # type: ignore[misc]
