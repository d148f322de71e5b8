"""The base of every configuration in Consilium: validated as a whole, before anything starts."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from consilium.counts import counted
from consilium.errors import ConfigurationError

MAX_SITES: Final = 10_000
"""Sites of a federation."""

MINUTES_PER_YEAR: Final = 365 * 24 * 60
"""Longest waiting time that a setting may have."""

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Of a job, a task or a network: fit for a file's name."""

_WHOLE, _NUMBER, _LIST = "a whole number", "a number", "a list"

_ALLOWED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a text",
    "string_pattern_mismatch": "what matches {pattern}",
    "string_too_short": "{min_length} or more characters",
    "string_too_long": "at most {max_length} characters",
    **dict.fromkeys(("literal_error", "enum"), "{expected}"),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type", "iterable_type"), _LIST),
    "too_short": "{min_length} or more values",
    "too_long": "at most {max_length} values",
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a JSON object"),
    "path_type": "a path",
    "multiple_of": "a multiple of {multiple_of}",
    "none_required": "nothing",
}
"""pydantic's kind of error -> what is allowed, in the words of this project."""

_FORMS: Final[Mapping[str, str]] = {
    r"^[a-z][a-z0-9_]{0,62}$": "lower-case letters, digits and _, beginning with a letter, at most 63",
    r"^[A-Za-z0-9_-]{1,64}$": "letters, digits, - and _, at most 64",
    r"^[^\x00-\x1f\x7f]*$": "one line of text without control characters",
    r"^(auto|cpu|cuda(:\d+)?)$": "auto, cpu, cuda, or cuda:0 for the first GPU",
    r"^sha256:[0-9a-f]{64}$": "sha256: and 64 hexadecimal digits, as a command writes it",
    r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$": "the id of a job, as "
    "`nvflare job list` shows it",
}
"""Pattern of a text -> what it allows, in words, for the settings of jobs and hospitals."""

_LONGEST_SEEN, _LONGEST_SENTENCE = 120, 400

_SEEN: Final = reprlib.Repr()
"""Shows what was seen, whatever it is: of a thousand entries, the first."""

_SEEN.maxlevel, _SEEN.maxlist, _SEEN.maxtuple, _SEEN.maxdict = 4, 20, 20, 20
_SEEN.maxstring = _SEEN.maxlong = _SEEN.maxother = 400

SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseModel):
    """A frozen group of settings in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def parse(cls: type[SettingsT], values: Mapping[str, Any], *, source: str) -> SettingsT:
        """Validate `values` as a whole.

        Args:
            values: Settings as read from a job, a site's file or the command line.
            source: What they were read from, for the message.

        Raises:
            ConfigurationError: With one line for each wrong setting: its name, the value seen, what is
                allowed and, for an unknown name, the nearest known one.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = explain_faults(error, cls, values)
            raise ConfigurationError(
                f"{source}: {counted(len(lines), 'setting')} can't be used\n" + "\n".join(lines)
            ) from None


class TypeByValues:
    """Annotation of a group of settings of which the values say what class it is.

    What is parsed keeps that class, and is written with all of its fields.

    Example: `learning: Annotated[LearningSettings, TypeByValues(settings_type)]`.

    Args:
        choose: Returns the class for some values; raises ValueError if there is none.
    """

    def __init__(self, choose: Callable[[Mapping[str, Any]], type[Settings]]) -> None:
        self.choose = choose

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic parse values as the class that they name."""

        def parse(value: object) -> object:
            return self.choose(value).model_validate(dict(value)) if isinstance(value, Mapping) else value

        as_its_class = core_schema.simple_ser_schema("any")
        return core_schema.no_info_before_validator_function(
            parse, handler(source), serialization=as_its_class
        )


def parse_changes(assignments: Iterable[str]) -> dict[str, Any]:
    """Read `KEY=VALUE` texts, the values as YAML: `3`, `0.1`, `null`, `[64, 64, 64]`, `some_name`.

    Example:
        >>> parse_changes(["rounds=3", "learning.batch_size=2"])
        {'rounds': 3, 'learning.batch_size': 2}

    Raises:
        ConfigurationError: If a text is not of that form.
    """
    import yaml  # a command that reads no such text starts without it

    changes = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or not key:
            raise ConfigurationError(f"{assignment!r} is not of the form KEY=VALUE, for example seed=3")
    return changes


def apply_changes(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with some changed.

    Example:
        >>> apply_changes({"rounds": 5, "learning": {"seed": 0}}, {"learning.seed": 1})
        {'rounds': 5, 'learning': {'seed': 1}}

    Args:
        values: The settings; they stay as they are.
        changes: Dotted setting names to values.

    Raises:
        ConfigurationError: What stands before a dot is no group of settings.
    """
    changed = deepcopy(dict(values))
    for key, value in changes.items():
        group, _, setting = key.rpartition(".")
        target = changed if not group else changed.setdefault(group, {})
        if not isinstance(target, dict):
            raise ConfigurationError(f"setting {key!r}: {group!r} is not a group of settings")
        target[setting] = value
    return changed


def explain_faults(
    error: ValidationError, model: type[BaseModel], values: Any, *, noun: str = "setting"
) -> list[str]:
    """Return a line for each fault of some values: where, what is allowed, and what was seen.

    Args:
        error: What the model found.
        model: The model.
        values: What it was given.
        noun: What a value is called: a `setting` of a configuration, a `field` of a record.
    """
    problems = _without_follow_up_errors(error.errors(include_url=False))
    return [_explain(model, values, problem, noun) for problem in problems]


def _without_follow_up_errors(problems: Iterable[Any]) -> list[Any]:
    """Leave out lists that pydantic calls too short because it dropped a wrong value from them."""
    problems = list(problems)
    places = [problem["loc"] for problem in problems]
    return [
        problem
        for problem, place in zip(problems, places, strict=True)
        if problem["type"] != "too_short"
        or not any(len(other) > len(place) and other[: len(place)] == place for other in places)
    ]


def _explain(model: type[BaseModel], values: Any, problem: Any, noun: str) -> str:
    name = ".".join(str(part) for part in problem["loc"]) or "(all)"
    if problem["type"] == "missing":
        return f"  {name}: it is missing"
    if problem["type"] != "extra_forbidden":
        return f"  {name}: {_allowed(problem)}{_seen(problem)}"
    *group, wrong = problem["loc"]
    known = sorted(_fields(model, values, tuple(group)))
    in_groups = [f"{one}.{wrong}" for one in known if wrong in _fields(model, values, (*group, one))]
    nearest = in_groups[:1] or difflib.get_close_matches(str(wrong), known, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}" if known else ""
    return f"  {name}: no such {noun}{hint}"


def _seen(problem: Mapping[str, Any]) -> str:
    """Return what stands there; nothing for a group, whose sentence names the values itself."""
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
        return ""
    return f" (seen: {_shorten(_SEEN.repr(problem['input']), _LONGEST_SEEN)})"


def _allowed(problem: Mapping[str, Any]) -> str:
    """Return what is allowed where a value is not."""
    words = _ALLOWED.get(problem["type"])
    if words is None:  # a sentence of our own, or an error that no setting has so far
        return _shorten(str(problem["msg"]).removeprefix("Value error, "), _LONGEST_SENTENCE)
    context = problem.get("ctx", {})
    if (form := _FORMS.get(str(context.get("pattern")))) is not None:
        return f"allowed: {form}"
    return f"allowed: {words.format(**context)}"


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."


def _fields(model: type[BaseModel], values: Any, location: tuple[Any, ...]) -> set[str]:
    """Names of the settings in a group of values."""
    for part in location:
        field = model.model_fields.get(str(part))
        values = values.get(part) if isinstance(values, Mapping) else None
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            return set()
        model = field.annotation
        for mark in field.metadata:
            if isinstance(mark, TypeByValues) and isinstance(values, Mapping):
                model = mark.choose(values)
    fixed = (name for name, field in model.model_fields.items() if _is_fixed(field.annotation))
    return model.model_fields.keys() - set(fixed)


def _is_fixed(annotation: Any) -> bool:
    """Whether a setting has one value, which says of what kind the group is."""
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1
